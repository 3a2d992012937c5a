"""Fixtures that every test may ask for: real servers, and waiting with a deadline."""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack

import pytest
import sqlalchemy

from tests import servers
from tests.servers import MariaDB, MissingComponentError, Postgres, Prometheus, Redis

WaitFor = Callable[..., object]


@contextlib.contextmanager
def _skip_if_missing() -> Iterator[None]:
    try:
        yield
    except MissingComponentError as error:
        if os.environ.get("CI") == "true":
            pytest.fail(str(error))
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def mariadb() -> Iterator[MariaDB]:
    """Give a MariaDB server that all tests share."""
    with _skip_if_missing(), MariaDB() as server:
        yield server


@pytest.fixture
def mariadb_database(mariadb: MariaDB) -> Iterator[str]:
    """Give the URL of a new, empty MariaDB database."""
    database = f"test_{uuid.uuid4().hex[:12]}"
    mariadb.execute(f"CREATE DATABASE {database}")
    yield mariadb.url(database)
    mariadb.execute(f"DROP DATABASE {database}")


@pytest.fixture(scope="session")
def redis_server() -> Iterator[Redis]:
    """Give a Redis server that all tests share."""
    with _skip_if_missing(), Redis() as server:
        yield server


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """Give a PostgreSQL server that all tests share."""
    if sqlalchemy.__version__.startswith("1.4."):
        pytest.skip("SQLAlchemy 1.4 has no dialect for psycopg 3")
    with _skip_if_missing(), Postgres() as server:
        yield server


@pytest.fixture
def prometheus() -> Iterator[Callable[..., Prometheus]]:
    """Give a function that starts a Prometheus server for `host:port` targets."""
    with ExitStack() as started:

        def start(targets: Sequence[str], scrape_interval: str = "1s") -> Prometheus:
            with _skip_if_missing():
                return started.enter_context(Prometheus(targets, scrape_interval))

        yield start


@pytest.fixture(scope="session")
def promtool() -> str:
    """Give the path of promtool."""
    with _skip_if_missing():
        return servers.find_program("promtool", "prometheus")


@pytest.fixture
def wait_for() -> WaitFor:
    """Give `wait_for(predicate, timeout, what, interval)`, which polls until the predicate is true or time is up."""
    return servers.wait_for


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option that writes golden files anew."""
    parser.addoption("--update-golden", action="store_true", help="write the golden files from what is found")
