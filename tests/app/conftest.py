"""The application on a migrated database and a real Redis, and a worker that empties its queue."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from rq import Queue, SimpleWorker

from app import db, faults, migrate
from app.config import Config
from app.web import create_app
from tests.servers import Postgres, Redis

ROOT = Path(__file__).parents[2]
Work = Callable[[], None]
RunModule = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def database_url(tmp_path: Path) -> str:
    """Give the URL of a new SQLite file; a test on another server overrides it by parametrization."""
    return f"sqlite:///{tmp_path / 'app.db'}"


@pytest.fixture
def config(database_url: str, redis_server: Redis, monkeypatch: pytest.MonkeyPatch) -> Config:
    """Set the environment of the application, for tasks and child processes as well, and read it."""
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("REDIS_URL", redis_server.url)
    monkeypatch.setenv("APP_QUEUE", f"test-{uuid.uuid4().hex}")
    monkeypatch.setenv("APP_FAULTS", "1")
    monkeypatch.setenv("DB_POOL_SIZE", "2")
    monkeypatch.setenv("DB_MAX_OVERFLOW", "0")
    monkeypatch.setenv("DB_POOL_TIMEOUT", "1")
    return Config.from_environ()


@pytest.fixture
def web(config: Config) -> Iterator[Flask]:
    """Give the web application on a migrated database."""
    app = create_app(config)
    app.testing = True
    migrate.upgrade()
    yield app
    faults.release_leaked()
    app.extensions["queue"].connection.close()
    db.close()


@pytest.fixture
def client(web: Flask) -> FlaskClient:
    """Give a test client."""
    return web.test_client()


@pytest.fixture
def queue(web: Flask) -> Queue:
    """Give the application's queue."""
    found: Queue = web.extensions["queue"]
    return found


@pytest.fixture
def work(queue: Queue) -> Work:
    """Give a function that runs, in this process, every job that is queued."""

    def run() -> None:
        SimpleWorker([queue], connection=queue.connection).work(burst=True)

    return run


@pytest.fixture
def run_module() -> RunModule:
    """Give a function that runs `python -m MODULE ARGUMENTS` to its end."""

    def run(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", *arguments],
            cwd=ROOT,
            env={**os.environ, **environ},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run


@pytest.fixture
def postgres_database(postgres: Postgres) -> Iterator[str]:
    """Give the URL of a new, empty PostgreSQL database."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    postgres.execute(f"CREATE DATABASE {name}")
    yield postgres.url(name)
    postgres.execute(f"DROP DATABASE {name} WITH (FORCE)")
