"""Fixtures of the sessions' tests: a project on a real Redis and a real database, and an extension in use."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from flask_sqlalchemy import SQLAlchemy
from redis import Redis

from tests import servers
from tests.sessions.extension import use
from tests.sessions.shop import FLASK_SQLALCHEMY, Shop


@pytest.fixture
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Give the URL of an empty database: SQLite's, unless the test asks for MariaDB's."""
    if getattr(request, "param", "sqlite") == "mariadb":
        return str(request.getfixturevalue("mariadb_database"))
    return f"sqlite:///{tmp_path}/shop.db"


@pytest.fixture
def make_shop(redis_server: servers.Redis, tmp_path: Path, database_url: str) -> Any:
    """Give a function that makes the project from its models."""
    with Redis.from_url(redis_server.url) as redis:

        def make(models: str = FLASK_SQLALCHEMY) -> Shop:
            shop = Shop(tmp_path, redis, redis_server.url, database_url)
            shop.write("models", models)
            return shop

        yield make


@pytest.fixture
def db(tmp_path: Path) -> SQLAlchemy:
    """Give an extension in use outside of contexts, with a model on each of two databases."""
    db = SQLAlchemy()
    kinds = {"Order": None, "Entry": "log"}
    for name, bind in kinds.items():
        body = {"__tablename__": name.lower(), "__module__": __name__, "id": db.Column(db.Integer, primary_key=True)}
        setattr(db, name, type(name, (db.Model,), body if bind is None else {**body, "__bind_key__": bind}))
    use(db, tmp_path)
    db.create_all()
    return db
