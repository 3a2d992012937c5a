"""Job functions on the database of JOBS_DATABASE, with a pool of five, for the proofs about workers."""

from __future__ import annotations

import os
import threading
from typing import Any

from sqlalchemy import Column, Integer, create_engine, select, text
from sqlalchemy.orm import declarative_base, scoped_session, sessionmaker
from sqlalchemy.pool import QueuePool

import ullage

ENGINE = "jobs"
POOL_SIZE = 5

_url = os.environ.get("JOBS_DATABASE", "sqlite://")
_tls = {"ssl": {"ca": os.environ["JOBS_CA"]}} if "JOBS_CA" in os.environ else {}
engine = create_engine(
    _url,
    poolclass=QueuePool,
    pool_size=POOL_SIZE,
    max_overflow=0,
    pool_timeout=0.2,
    pool_logging_name=ENGINE,
    connect_args={"check_same_thread": False} if _url.startswith("sqlite") else _tls,
)
Session = scoped_session(sessionmaker(engine))
Base: Any = declarative_base()
KEPT: list[Any] = []


class Row(Base):
    """A row, and which job wrote it."""

    __tablename__ = "rows_of_jobs"
    id = Column(Integer, primary_key=True)
    writer = Column(Integer, nullable=False)


def nothing() -> None:
    """Do nothing."""


def add_and_forget(writer: int, has_flushed: bool) -> str:
    """Add a row, do not commit, and succeed."""
    Session.add(Row(writer=writer))
    if has_flushed:
        Session.flush()
    return "succeeded"


def add_and_commit(writer: int) -> None:
    """Add a row and commit it."""
    Session.add(Row(writer=writer))
    Session.commit()
    Session.remove()


def leak_connection() -> None:
    """Check a connection out and never give it back."""
    KEPT.append(engine.connect())  # the line that every timeout is due to


def leak_session() -> None:
    """Begin a transaction in the scoped session of all jobs and leave it."""
    Session.execute(select(Row.id))


def query_without_end() -> int:
    """Use the scoped session without a clean-up, as most tasks do, and return the server's id of the connection."""
    return int(Session.execute(text("SELECT CONNECTION_ID()")).scalar_one())


def write_in_session(writer: int) -> int:
    """Write with the scoped session of all jobs and commit, and return the server's id of the connection."""
    connection_id = query_without_end()
    Session.add(Row(writer=writer))
    Session.commit()
    return connection_id


def use_tls() -> str:
    """Query over TLS without a clean-up, and return the cipher."""
    return str(Session.execute(text("SHOW STATUS LIKE 'Ssl_cipher'")).one()[1])


def _take_lock(connection: Any, name: str) -> int:
    KEPT.append(connection)
    assert connection.execute(text("SELECT GET_LOCK(:name, 0)"), {"name": name}).scalar_one() == 1
    return int(connection.execute(text("SELECT CONNECTION_ID()")).scalar_one())


def take_lock(name: str) -> int:
    """Take a lock of the server's on a connection of its own, keep both, and return the connection's id."""
    return _take_lock(engine.connect(), name)


def take_lock_at_site(name: str) -> int:
    """Take a lock at a site that the test declares."""
    return _take_lock(engine.connect(), name)


def take_lock_in_function(name: str) -> int:
    """Take a lock in a job function that the test declares."""
    return _take_lock(engine.connect(), name)


@ullage.policy("ignore")
def take_declared_lock(name: str) -> int:
    """Take a lock that is declared here."""
    return take_lock(name)


def take_lock_in_thread(name: str) -> int:
    """Take a lock in a thread that holds it for the rest of the process."""
    found: list[int] = []
    is_held = threading.Event()

    def hold() -> None:
        found.append(take_lock(name))
        is_held.set()
        threading.Event().wait()

    threading.Thread(target=hold, daemon=True).start()
    is_held.wait()
    return found[0]


def note_failure(job: Any, connection: Any, kind: type, value: Exception, trace: Any) -> None:
    """Called by RQ when a job has failed: note its exception."""
    connection.rpush(f"failures:{job.id}", f"{kind.__name__}: {value}")
