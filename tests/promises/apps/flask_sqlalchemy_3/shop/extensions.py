"""Extensions without an application."""

from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.orm import DeclarativeBase


class Base(DeclarativeBase):
    """The models' base."""


db = SQLAlchemy(model_class=Base)
