"""A small shop."""

import os

import sqlalchemy
from flask import Flask

engine = sqlalchemy.create_engine(os.environ.get("DATABASE_URL", "sqlite:////dev/shm/shop.db"))
kept = []


def create_app():
    """Make the application."""
    app = Flask(__name__)

    @app.get("/")
    def answer():
        with engine.connect() as connection:
            return str(connection.scalar(sqlalchemy.text("SELECT 42")))

    @app.get("/keep")
    def keep():
        kept.append(engine.connect())
        return "kept"

    return app
