"""The company's way to a database, shared by its applications."""

import os

from sqlalchemy import create_engine
from sqlalchemy.orm import sessionmaker

engine = create_engine(os.environ["DATABASE_URL"], pool_pre_ping=True, pool_use_lifo=True)
Session = sessionmaker(engine)


def get_connection():
    """Return a connection; who takes it closes it."""
    return engine.connect()
