"""The engine and the session, shared by web and tasks; a worker needs no Flask application to use them.

A web request uses `Session` and the application's teardown removes it; a task works inside `session_scope()`.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import URL, Engine, create_engine, event, orm
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from app.config import Config, ConfigError

# Without expire_on_commit an object can be rendered after the commit; with it every attribute would be
# queried again, in a new transaction.
_factory = orm.sessionmaker(expire_on_commit=False)
Session = orm.scoped_session(_factory)

# _engine and the factory's bind change together, under _lock.
_lock = threading.RLock()
_engine: Engine | None = None


def init(config: Config) -> Engine:
    """Make the engine of this process; no connection is opened before the first query."""
    global _engine
    with _lock:
        close()
        _engine = _create_engine(config)
        _factory.configure(bind=_engine)
        return _engine


def engine() -> Engine:
    """Give the engine, made from the environment at its first use unless `init` made it."""
    with _lock:
        return _engine or init(Config.from_environ())


def close() -> None:
    """Close every idle connection and forget the engine."""
    global _engine
    with _lock:
        Session.remove()
        if _engine is not None:
            _engine.dispose()
        _engine = None
        _factory.configure(bind=None)


@contextmanager
def session_scope() -> Iterator[orm.Session]:
    """Give the session of a task: commit at the end, roll back on an error, and remove it in any case."""
    engine()
    try:
        yield Session()
        Session.commit()
    finally:
        # A session that outlives its task keeps a connection, and the next task would commit its rows.
        Session.remove()


def _create_engine(config: Config) -> Engine:
    try:
        url = make_url(config.database_url)
    except ArgumentError:
        raise ConfigError(
            "DATABASE_URL is no database URL: want for example mysql+pymysql://user:password@host/database"
        ) from None
    if url.get_backend_name() == "sqlite" and url.database in (None, "", ":memory:"):
        raise ConfigError("DATABASE_URL names an in-memory database: want a file, web and workers share it")
    made = create_engine(
        url,
        pool_size=config.pool_size,
        max_overflow=config.max_overflow,
        pool_timeout=config.pool_timeout_seconds,
        pool_recycle=config.pool_recycle_seconds,
        pool_pre_ping=config.pool_pre_ping,
        connect_args=_connect_args(url),
    )
    if made.dialect.name == "sqlite":
        event.listen(made, "connect", _prepare_sqlite)
    return made


def _connect_args(url: URL) -> dict[str, Any]:
    if url.get_driver_name() != "pymysql" or not url.password:
        return {}
    # PyMySQL encodes a str as Latin-1; the server has hashed what its client sent, which was UTF-8.
    return {"password": str(url.password).encode()}


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    # WAL lets requests read while a worker writes; SQLite ignores foreign keys unless told otherwise.
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA foreign_keys = ON")
