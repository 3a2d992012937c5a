"""What a job's sessions are found to be when it ends, and what a policy does about them."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy
from flask import Flask
from redis import Redis
from rq import Queue
from rq.worker import SimpleWorker
from sqlalchemy import Column, Integer, create_engine, event, select
from sqlalchemy.engine import Engine
from sqlalchemy.exc import StatementError
from sqlalchemy.orm import Session, declarative_base, scoped_session, sessionmaker
from sqlalchemy.pool import QueuePool

from tests.probe.conftest import Measured

# RQ 1.16 warns of its own use of these.
pytestmark = pytest.mark.filterwarnings(r"ignore:The .(push|pop)_connection. function is deprecated:DeprecationWarning")

Base: Any = declarative_base()
UNRELEASED = "sqlalchemy_unreleased_sessions_total"


class Order(Base):
    """A row."""

    __tablename__ = "orders"
    id = Column(Integer, primary_key=True)


ONE = select(Order.id)


def perform() -> None:
    """Run what the test wants as a job: RQ needs a function that has a name."""
    Case.body()


class Case:
    """What the next job does."""

    body: Callable[[], Any]


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    """Give an engine on a database of the test's own."""
    made = create_engine(
        f"sqlite:///{tmp_path}/orders.db",
        poolclass=QueuePool,
        pool_logging_name="orders",
        connect_args={"check_same_thread": False},
    )
    Base.metadata.create_all(made)
    yield made
    made.dispose()


@pytest.fixture
def run(redis_server, measured) -> Iterator[Callable[..., str]]:
    """Give a function that runs another as a job, and returns RQ's status of it."""
    connection = Redis.from_url(redis_server.url)
    queue = Queue(f"sessions-{os.getpid()}", connection=connection)

    def run_as_job(body: Callable[[], Any], policy: str = "observe") -> str:
        if measured.process.settings.policy != policy:
            measured.restart(policy=policy)
        Case.body = body
        job = queue.enqueue(perform)
        SimpleWorker([queue], connection=connection).work(burst=True, logging_level="CRITICAL")
        status: Any = job.get_status()
        return str(getattr(status, "value", status))

    yield run_as_job
    connection.close()


def levels(measured: Measured) -> dict[str, float]:
    """Return the unreleased sessions by level."""
    return measured.by(UNRELEASED, "level")


def line_of(measured: Measured) -> int:
    """Return the line of the only leak, counted from the test's own first."""
    [site] = measured.by(UNRELEASED, "site")
    return int(site.partition(" ")[0].rpartition(":")[2])


class TestLevels:
    """How bad it is."""

    def test_a_session_with_a_connection_is_leaked(self, engine, measured, run):
        """Its connection is out, and counts once, not as a session and as a connection."""
        with Session(engine) as session:
            run(lambda: session.execute(ONE))
            assert levels(measured) == {"leaked": 1}
            assert measured.by("ullage_leaks_total", "kind") == {"held_at_job_end": 1}

    def test_objects_that_were_not_flushed_are_dirty(self, engine, measured, run):
        """No connection is out, and yet the next job in this process would commit them."""
        with Session(engine) as session:
            run(lambda: session.add(Order()))
            assert levels(measured) == {"dirty": 1}
            assert measured.by("ullage_leaks_total", "kind") == {"held_at_job_end": 1}

    def test_a_changed_object_is_dirty(self, engine, measured, run):
        """A change counts as an object does."""
        with Session(engine, expire_on_commit=False) as session:
            session.add(Order(id=1))
            session.commit()
            kept = session.get(Order, 1)
            session.commit()

            def change() -> None:
                session.execute(ONE)
                session.commit()
                kept.id = 2

            if sqlalchemy.__version__.startswith("1.4."):
                pytest.skip("SQLAlchemy 1.4 begins nothing, and fires no event, when an object changes")
            run(change)
            assert levels(measured) == {"dirty": 1}

    def test_a_session_that_was_committed_and_stays_is_lingering(self, engine, measured, run):
        """It holds nothing: it is told, and is no leak."""
        with Session(engine) as session:

            def commit() -> None:
                session.execute(ONE)
                session.commit()

            run(commit)
            assert levels(measured) == {"lingering": 1}
            assert measured.by("ullage_leaks_total", "kind") == {}

    def test_a_closed_session_is_released(self, engine, measured, run):
        """Though somebody refers to it still."""
        session = Session(engine)

        def close() -> None:
            session.execute(ONE)
            session.close()

        run(close)
        assert levels(measured) == {}

    def test_a_session_that_is_used_again_after_its_close_is_not(self, engine, measured, run):
        """What counts is what it is at the end."""
        with Session(engine) as session:

            def use() -> None:
                session.execute(ONE)
                session.close()
                session.execute(ONE)

            run(use)
            assert levels(measured) == {"leaked": 1}

    def test_a_removed_scoped_session_is_released(self, engine, measured, run):
        """`Session.remove()` is the end of it."""
        registry = scoped_session(sessionmaker(engine))

        def use() -> None:
            registry.execute(ONE)
            registry.remove()

        run(use)
        assert levels(measured) == {}

    def test_a_session_in_the_place_of_a_collected_one_is_seen(self, engine, measured, run):
        """Python gives the identity of a collected session to the next one."""
        kept = []

        def use() -> None:
            for _ in range(50):
                with Session(engine) as session:
                    session.execute(ONE)
                del session
            kept.append(Session(engine))
            kept[0].add(Order())

        run(use)
        assert levels(measured) == {"dirty": 1}
        kept[0].close()

    def test_a_session_on_an_older_connection_is_dirty(self, engine, measured, run):
        """The connection is not the job's, but the transaction in it is."""
        with engine.connect() as connection, Session(connection) as session:
            run(lambda: session.execute(ONE))
            assert levels(measured) == {"dirty": 1}

    def test_the_line_is_that_of_the_last_transaction(self, engine, measured, run):
        """Not that of one which was committed long before."""
        with Session(engine) as session:

            def use() -> None:
                session.execute(ONE)
                session.commit()
                session.add(Order())

            run(use)
            assert line_of(measured) == use.__code__.co_firstlineno + 3

    def test_a_request_that_leaks_is_leaked(self, engine, measured):
        """The level of a request's leak is that its connection is out."""
        app, kept = Flask("orders"), []
        app.add_url_rule("/", view_func=lambda: str(kept.append(engine.connect())))
        app.test_client().get("/")
        assert levels(measured) == {"leaked": 1}
        assert measured.by("ullage_leaks_total", "kind") == {"held_at_request_end": 1}
        kept[0].close()


class TestOwners:
    """Whose a session is."""

    def test_a_session_that_was_begun_before_is_not_the_jobs(self, engine, measured, run):
        """The job found it as it is."""
        measured.restart(policy="reclaim")
        with Session(engine) as session:
            session.execute(ONE)
            run(lambda: session.execute(ONE), "reclaim")
            assert levels(measured) == {}
            assert session.in_transaction()

    def test_another_threads_session_is_not_the_jobs(self, engine, measured, run):
        """It may be in use, and is left alone."""
        measured.restart(policy="reclaim")
        with Session(engine) as session:

            def use() -> None:
                thread = threading.Thread(target=lambda: session.execute(ONE))
                thread.start()
                thread.join()

            run(use, "reclaim")
            assert levels(measured) == {}
            assert session.in_transaction()


class TestPolicies:
    """What is done about it."""

    def test_observe_changes_nothing(self, engine, measured, run):
        """The session goes on as the job left it."""
        with Session(engine) as session:
            run(lambda: session.add(Order()))
            assert len(session.new) == 1

    @pytest.mark.parametrize("has_flushed", [False, True], ids=["dirty", "leaked"])
    def test_reclaim_rolls_back_and_returns(self, engine, measured, run, has_flushed):
        """Neither objects nor a connection are left, and the leak is counted."""
        with Session(engine) as session:

            def use() -> None:
                session.add(Order())
                if has_flushed:
                    session.flush()

            assert run(use, "reclaim") == "finished"
            session.commit()
            assert engine.pool.checkedout() == 0
            assert session.scalars(ONE).all() == []
            assert sum(levels(measured).values()) == 1

    def test_reclaim_closes_a_connection_of_no_session(self, engine, measured, run):
        """It is not given to others while its owner may still use it."""
        kept: list[Any] = []

        def use() -> None:
            kept.append(engine.connect())
            kept[0].execute(ONE)

        run(use, "reclaim")
        assert engine.pool.checkedout() == 0
        with pytest.raises(StatementError):
            kept[0].execute(ONE)
        assert measured.by("sqlalchemy_pool_connections_closed_total", "reason") == {"invalidated": 1}

    def test_reclaim_survives_a_session_that_cannot_be_closed(self, engine, measured, run):
        """A listener of the application's that raises costs the connection, not the worker."""

        def raise_on_rollback(_session: Any) -> None:
            raise OSError("the server is gone")

        session = Session(engine)
        event.listen(session, "after_rollback", raise_on_rollback)
        assert run(lambda: session.execute(ONE), "reclaim") == "finished"
        event.remove(session, "after_rollback", raise_on_rollback)
        assert engine.pool.checkedout() == 0
        assert measured.value("ullage_probe_up", probe="rq") == 1

    def test_reclaim_leaves_what_lingers(self, engine, measured, run):
        """An application may keep its objects between jobs; a session that holds nothing hurts nobody."""
        with Session(engine, expire_on_commit=False) as session:
            order = Order(id=1)

            def use() -> None:
                session.add(order)
                session.commit()

            run(use, "reclaim")
            assert order in session

    def test_strict_fails_a_job_that_leaves_objects(self, engine, measured, run):
        """The job fails, and its objects are gone."""
        with Session(engine) as session:
            assert run(lambda: session.add(Order()), "strict") == "failed"
            assert len(session.new) == 0
            assert levels(measured) == {"dirty": 1}

    def test_strict_leaves_what_lingers(self, engine, measured, run):
        """It is no leak."""
        with Session(engine) as session:

            def use() -> None:
                session.execute(ONE)
                session.commit()

            assert run(use, "strict") == "finished"

    def test_ignore_counts_nothing(self, engine, measured, run):
        """What is kept on purpose stays, and is nobody's leak."""
        with Session(engine) as session:
            assert run(lambda: session.execute(ONE), "ignore") == "finished"
            assert session.in_transaction()
        assert levels(measured) == {}
        assert measured.value("sqlalchemy_unreleased_sessions_recovered_total", engine="orders") == 0

    def test_a_site_keeps_the_session_that_uses_it(self, engine, measured, run):
        """A session is not closed where its connection was checked out at a site to be ignored."""
        session = Session(engine)

        def use() -> None:
            session.begin()
            session.execute(ONE)

        line = use.__code__.co_firstlineno + 2
        measured.restart(policy="reclaim", policy_overrides=(f"site:test_session.py:{line}=ignore",))
        run(use, "reclaim")
        assert session.in_transaction()
        assert levels(measured) == {}
        session.close()
