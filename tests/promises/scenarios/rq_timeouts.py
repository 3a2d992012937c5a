"""Jobs that RQ's own timeout interrupts at random instructions, with the probe and without."""

from __future__ import annotations

import gc
import logging
import random
import signal
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Any

from rq.timeouts import JobTimeoutException, UnixSignalDeathPenalty
from rq.worker import SimpleWorker
from sqlalchemy import create_engine, text
from sqlalchemy.orm import Session
from sqlalchemy.pool import QueuePool

from tests.promises.readings import Page
from tests.promises.scenarios import run
from tests.promises.scenarios.rq_jobs import new_queue
from ullage.collector import Reading
from ullage.segment import layout as at

LEAST_SECONDS, MOST_SECONDS = 0.0005, 0.003
# A job that did not end by then lost its exception.
PATIENCE_SECONDS = 0.2
BATCH = 100
HERE = "tests.promises.scenarios.rq_timeouts"


class _DroppedBySQLAlchemy(logging.Handler):
    """Count the timeouts that SQLAlchemy itself logs and drops, when a connection's reset is interrupted."""

    count = 0

    def emit(self, record: logging.LogRecord) -> None:
        self.count += bool(record.exc_info and isinstance(record.exc_info[1], JobTimeoutException))


class RandomDeathPenalty(UnixSignalDeathPenalty):
    """RQ's own, but after fractions of a second."""

    source = random.Random(1)

    def handle_death_penalty(self, signum: int, frame: FrameType | None) -> None:
        """Raise, and note that."""
        State.raised += 1
        super().handle_death_penalty(signum, frame)

    def setup_death_penalty(self) -> None:
        """Arm the timer; callbacks and such are left their time."""
        signal.signal(signal.SIGALRM, self.handle_death_penalty)
        seconds = self.source.uniform(LEAST_SECONDS, MOST_SECONDS) if self._timeout == 1 else 60.0
        signal.setitimer(signal.ITIMER_REAL, seconds)


class InterruptedWorker(SimpleWorker):
    """A worker whose jobs are interrupted."""

    death_penalty_class = RandomDeathPenalty


class State:
    """What the jobs of this process use and find."""

    engine: Any = None
    raised = 0
    swallowed = 0


def use_sessions() -> None:
    """Use sessions until interrupted."""
    end = time.monotonic() + PATIENCE_SECONDS
    before = State.raised
    while time.monotonic() < end:
        with Session(State.engine) as session:
            session.execute(text("SELECT 1"))
            session.commit()
        if State.raised > before:
            break
    State.swallowed += 1


def main(directory: str, redis: str, count: int, is_probed: bool) -> dict[str, Any]:
    """Interrupt so many jobs, and tell where the exceptions went."""
    if is_probed:
        import ullage

        assert ullage.install({"ULLAGE_DIR": directory, "ULLAGE_ROLE": "worker"})
    State.engine = _engine()
    dropped = _DroppedBySQLAlchemy()
    logging.getLogger("sqlalchemy.pool").propagate = False
    logging.getLogger("sqlalchemy.pool").addHandler(dropped)
    unraisable: list[type] = []
    sys.unraisablehook = lambda hooked: unraisable.append(hooked.exc_type)
    queue = new_queue(redis)
    statuses: dict[str, int] = {}
    for _ in range(0, count, BATCH):
        done = [queue.enqueue(f"{HERE}.use_sessions", job_timeout=1, failure_ttl=60) for _ in range(BATCH)]
        InterruptedWorker([queue], connection=queue.connection).work(burst=True, logging_level="CRITICAL")
        for job in done:
            status: Any = job.get_status(refresh=True)
            name = str(getattr(status, "value", status))
            statuses[name] = statuses.get(name, 0) + 1
    State.engine.dispose()
    gc.collect()
    return {
        "raised": State.raised,
        "statuses": statuses,
        "swallowed": State.swallowed,
        "by_sqlalchemy": dropped.count,
        "by_python": unraisable.count(JobTimeoutException),
        **(_account(directory) if is_probed else {}),
    }


def _engine() -> Any:
    # No limit: SQLAlchemy loses capacity itself when it is interrupted between taking a record and using it.
    return create_engine("sqlite://", poolclass=QueuePool, pool_size=5, max_overflow=-1, pool_logging_name="timeouts")


def _account(directory: str) -> dict[str, Any]:
    page = Page.read(Path(directory))
    (snapshot,) = Reading(Path(directory))
    return {
        "jobs": page.by("rq_jobs_total", "outcome"),
        "waiting": page.total("sqlalchemy_pool_waiting_requests"),
        "probe_up": page.by("ullage_probe_up", "probe"),
        "journal": snapshot.header[at.JOURNAL_SEQUENCE],
    }


if __name__ == "__main__":
    sys.modules.setdefault(HERE, sys.modules["__main__"])  # the jobs are to find this state
    run(main)
