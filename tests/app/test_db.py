"""The engine and the session, in requests and in tasks."""

from __future__ import annotations

import uuid

import pytest
from sqlalchemy import func, select, text
from sqlalchemy.pool import QueuePool

from app import db
from app.config import Config, ConfigError
from app.models import Order
from app.web import create_app


def checked_out() -> int:
    """Count the connections that are out of the pool."""
    pool = db.engine().pool
    assert isinstance(pool, QueuePool)
    return pool.checkedout()


def count_orders() -> int:
    """Count orders in a scope of its own."""
    with db.session_scope() as session:
        return session.scalar(select(func.count()).select_from(Order)) or 0


class TestEngine:
    def test_comes_from_the_environment_at_first_use(self, config, database_url):
        """A task that nobody initialized gets the engine that the environment describes."""
        db.close()
        assert db.engine() is db.engine()
        assert str(db.engine().url) == database_url
        db.close()

    def test_has_the_configured_pool(self, config):
        """Every pool setting reaches SQLAlchemy's pool."""
        pool = db.init(config).pool
        assert isinstance(pool, QueuePool)
        assert (pool.size(), pool._max_overflow, pool.timeout()) == (2, 0, 1)
        assert (pool._recycle, pool._pre_ping) == (1800, True)
        db.close()

    @pytest.mark.parametrize(
        ("url", "message"),
        [
            pytest.param("sqlite://", "DATABASE_URL names an in-memory database", id="in-memory"),
            pytest.param("nonsense", "DATABASE_URL is no database URL", id="no-url"),
        ],
    )
    def test_refuses_a_useless_url(self, url, message):
        """A URL that cannot work is refused when the engine is made, without repeating its password."""
        with pytest.raises(ConfigError, match=message):
            db.init(Config(database_url=url))

    @pytest.mark.parametrize("password", ["%41 +&/?#@:[]'\"\\", "pässword", "日本"])
    def test_logs_in_with_every_password(self, mariadb, password):
        """A password with reserved characters, and one that is not ASCII, is the one that the server knows."""
        user = f"user_{uuid.uuid4().hex[:12]}"
        mariadb.execute(f"CREATE USER {user}@'127.0.0.1' IDENTIFIED BY %s", password)
        parts = {"HOST": "127.0.0.1", "PORT": str(mariadb.port), "USER": user, "PASSWORD": password}
        engine = db.init(Config.from_environ({f"DATABASE_{name}": value for name, value in parts.items()}))
        with engine.connect() as connection:
            assert connection.scalar(text("SELECT CURRENT_USER()")) == f"{user}@127.0.0.1"
        db.close()
        mariadb.execute(f"DROP USER {user}@'127.0.0.1'")


class TestSessionScope:
    def test_commits_and_gives_the_connection_back(self, web):
        """What a task added is stored, and its connection is back in the pool."""
        with db.session_scope() as session:
            session.add(Order(customer="Ada"))
            session.flush()
            assert checked_out() == 1
        assert checked_out() == 0
        assert count_orders() == 1

    def test_rolls_back_on_an_error(self, web):
        """A task that fails leaves no row for the next one to commit, and no connection out."""

        def task() -> None:
            with db.session_scope() as session:
                session.add(Order(customer="Ada"))
                session.flush()
                raise RuntimeError("task failed")

        with pytest.raises(RuntimeError, match="task failed"):
            task()
        assert checked_out() == 0
        assert count_orders() == 0


def test_the_session_ends_with_the_request(web, client):
    """A view that forgets its session, with a row in it, leaves neither a connection nor the row behind."""

    @web.get("/forgetful")
    def forgetful() -> str:
        db.Session.add(Order(customer="forgotten"))
        db.Session.flush()
        return str(checked_out())

    assert client.get("/forgetful").text == "1"
    assert checked_out() == 0
    assert count_orders() == 0


def test_a_second_application_replaces_the_engine(web, config, tmp_path):
    """Building the application again closes the first pool instead of leaking it."""
    first = db.engine()
    db.Session.execute(text("SELECT 1"))
    create_app(config).extensions["queue"].connection.close()
    assert isinstance(first.pool, QueuePool)
    assert first.pool.checkedout() == 0
    assert db.engine() is not first
