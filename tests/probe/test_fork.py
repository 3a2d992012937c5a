"""Connections across a fork: a child makes its own, and its parent's are as they were."""

from __future__ import annotations

import itertools
import os
import pickle
import signal
import sqlite3
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session, scoped_session, sessionmaker
from sqlalchemy.pool import NullPool, QueuePool, SingletonThreadPool, StaticPool

from tests.probe.conftest import Measured

POOLS = [QueuePool, NullPool, StaticPool, SingletonThreadPool]
ENGINE = "orders"
ONE = text("SELECT 1")


def in_child(function: Callable[[], Any]) -> Any:
    """Return what a function returns in a forked child."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        signal.alarm(20)  # one that hangs fails its test
        try:
            found = function()
        except BaseException:  # noqa: BLE001 - whatever it is, the parent is to see it
            found = traceback.format_exc()
        os.write(writing, pickle.dumps(found))
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        answer = pipe.read()
    os.waitpid(pid, 0)
    return pickle.loads(answer)


_numbers = itertools.count()


class Logged(sqlite3.Connection):
    """A DBAPI connection that notes what is done on it, by process."""

    done: ClassVar[list[tuple[int, str]]] = []

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.opened = (os.getpid(), next(_numbers))

    def rollback(self) -> None:
        """End a transaction."""
        self.done.append((os.getpid(), "rollback"))
        super().rollback()

    def close(self) -> None:
        """Close."""
        self.done.append((os.getpid(), "close"))
        super().close()


@pytest.fixture(params=POOLS, ids=lambda kind: kind.__name__)
def engine(request: pytest.FixtureRequest, measured: Measured, tmp_path: Path) -> Iterator[Engine]:
    """Give an engine with a kind of pool."""
    yield from make(tmp_path, request.param)


@pytest.fixture
def queue_engine(measured: Measured, tmp_path: Path) -> Iterator[Engine]:
    """Give an engine with the usual pool."""
    yield from make(tmp_path, QueuePool)


def make(tmp_path: Path, kind: type) -> Iterator[Engine]:
    """Make an engine, and dispose it afterwards."""
    made = create_engine(
        f"sqlite:///{tmp_path}/orders.db",
        poolclass=kind,
        pool_logging_name=ENGINE,
        connect_args={"check_same_thread": False, "factory": Logged},
    )
    with made.begin() as connection:
        connection.execute(text("CREATE TABLE IF NOT EXISTS orders (id INTEGER PRIMARY KEY)"))
    yield made
    made.dispose()


def raw(connection: Any) -> tuple[int, int]:
    """Return which process opened the DBAPI connection behind a connection, and the how manyth it was."""
    fairy = connection.connection if isinstance(connection, Connection) else connection
    opened: tuple[int, int] = fairy.dbapi_connection.opened
    return opened


class TestTheChild:
    """What a child of a process with connections finds."""

    def test_idle_connections_are_not_inherited(self, engine):
        """The first checkout in a child opens a connection."""
        with engine.connect() as connection:
            parents = raw(connection)

        def check_out() -> tuple[int, int]:
            with engine.connect() as connection:
                connection.execute(ONE)
                return raw(connection)

        assert in_child(check_out) != parents

    def test_a_session_amid_a_transaction_works(self, engine):
        """The parent's scoped session begins anew in the child, on a connection of its own."""
        registry = scoped_session(sessionmaker(engine))
        registry.execute(ONE)
        parents = raw(registry.connection())

        def use() -> tuple[Any, Any]:
            found = registry.execute(ONE).scalar()
            other = raw(registry.connection())
            registry.commit()
            registry.remove()
            return found, other

        found, other = in_child(use)
        assert found == 1
        assert other != parents
        registry.remove()

    def test_a_child_that_removes_at_once_sends_nothing(self, queue_engine):
        """`Session.remove()` in the child does not roll the parent's transaction back."""
        registry = scoped_session(sessionmaker(queue_engine))
        registry.execute(text("INSERT INTO orders VALUES (1)"))

        def remove() -> list[Any]:
            registry.remove()
            queue_engine.dispose()
            return [what for pid, what in Logged.done if pid == os.getpid()]

        assert in_child(remove) == []
        registry.commit()
        assert registry.execute(text("SELECT COUNT(*) FROM orders")).scalar() == 1
        registry.remove()

    def test_a_core_connection_does_not_reach_the_parents(self, queue_engine):
        """A child that uses its parent's connection gets an error or another one, and never that one."""
        with queue_engine.connect() as connection:
            connection.execute(ONE)
            parents = raw(connection)

            def use() -> Any:
                try:
                    connection.execute(ONE)
                except SQLAlchemyError as error:
                    return type(error).__name__
                return raw(connection)

            assert in_child(use) not in (parents, None)

    def test_levels_are_the_childs_own(self, queue_engine):
        """In the child nothing is out, and one connection, its own, is idle."""
        with queue_engine.connect():

            def levels() -> list[Any]:
                with queue_engine.connect():
                    pass
                return [queue_engine.pool.checkedout(), queue_engine.pool.checkedin()]

            assert in_child(levels) == [0, 1]

    def test_a_grandchild_does_not_inherit_either(self, queue_engine):
        """A child's connections are its own, and not those of its children."""
        with queue_engine.connect() as connection:
            parents = raw(connection)

        def fork_again() -> tuple[Any, Any]:
            with queue_engine.connect() as connection:
                mine = raw(connection)

            def check_out() -> tuple[int, int]:
                with queue_engine.connect() as connection:
                    return raw(connection)

            return mine, in_child(check_out)

        assert len({parents, *in_child(fork_again)}) == 3

    def test_a_lock_that_another_thread_held_is_not_waited_for(self, queue_engine):
        """A thread that is amid a checkout at the fork is not there in the child, and its lock stays locked."""
        is_locked, is_over = threading.Event(), threading.Event()

        def hold() -> None:
            with queue_engine.pool._pool.mutex:
                is_locked.set()
                is_over.wait()

        with Session(queue_engine) as session:
            session.execute(ONE)
            thread = threading.Thread(target=hold)
            thread.start()
            is_locked.wait()
            try:
                assert in_child(lambda: session.execute(ONE).scalar()) == 1
            finally:
                is_over.set()
                thread.join()

    @pytest.mark.parametrize("is_out", [False, True], ids=["idle", "out"])
    def test_a_pool_without_an_engine_is_emptied(self, queue_engine, is_out):
        """Where the engine is not known, the pool itself begins anew."""
        pool = queue_engine.pool.recreate()
        held = pool.connect()
        parents = raw(held)
        if not is_out:
            held.close()

        def check_out() -> tuple[int, int]:
            found = pool.connect()
            try:
                return raw(found)
            finally:
                found.close()

        assert in_child(check_out) != parents
        held.close()
        mine = pool.connect()
        assert raw(mine) == parents
        mine.close()
        pool.dispose()

    def test_what_a_child_has_out_dies_with_it(self, queue_engine, measured):
        """And what its parent has out at the fork does not."""
        kept: list[Any] = []
        with queue_engine.connect():
            assert in_child(lambda: kept.append(queue_engine.connect())) is None
            assert measured.by("ullage_leaks_total", "kind") == {"died_with_process": 1}


class TestTheParent:
    """What a process finds after it forked."""

    @pytest.mark.parametrize("count", [1, 5])
    def test_its_transaction_goes_on(self, engine, count):
        """Whatever its children do, the parent's rows are committed, on the same connection."""
        with Session(engine) as session:
            session.execute(text("INSERT INTO orders VALUES (7)"))
            before = raw(session.connection())

            def close() -> None:
                session.close()
                engine.dispose()

            for _ in range(count):
                assert in_child(close) is None
            assert raw(session.connection()) == before
            session.commit()
            assert session.execute(text("SELECT id FROM orders")).scalar() == 7

    def test_its_levels_stay(self, queue_engine, measured):
        """A child's checkouts change nothing of what the parent has out."""
        with queue_engine.connect():
            in_child(lambda: queue_engine.connect().close())
            assert queue_engine.pool.checkedout() == 1
            assert measured.value("sqlalchemy_pool_connections", engine=ENGINE, state="used") == 1
        assert measured.by("ullage_leaks_total", "kind") == {}


def test_an_application_without_the_orm_does_not_load_it(tmp_path):
    """A child of a process that uses SQLAlchemy's core alone is not made to import the rest at its birth."""
    code = f"""
import os, sys
from sqlalchemy import create_engine
import ullage
assert ullage.install({{"ULLAGE_DIR": {str(tmp_path)!r}}})
engine = create_engine("sqlite:///{tmp_path}/core.db")
connection = engine.connect()
if os.fork() == 0:
    os._exit("sqlalchemy.orm" in sys.modules)
_, status = os.wait()
raise SystemExit(os.waitstatus_to_exitcode(status))
"""
    result = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
