"""Checkouts and checkins that are interrupted at random instructions by an exception that is not the probe's."""

from __future__ import annotations

import gc
import logging
import random
import sys
import time
import weakref
from pathlib import Path
from typing import Any

from sqlalchemy import create_engine
from sqlalchemy.pool import QueuePool

import ullage
from tests.promises.readings import Page
from tests.promises.scenarios import run
from tests.promises.scenarios.interrupt import Interrupt, Timer
from ullage.collector import Reading
from ullage.outstanding import outstanding

INTERRUPTS = 1_000  # each round
# From the first instructions of a checkout to the last of a checkin on this pool, and some pairs more.
MOST_SECONDS = 300e-6


class _SwallowedBySQLAlchemy(logging.Handler):
    """Count the interrupts that SQLAlchemy itself logs and drops, when a connection's reset is interrupted."""

    count = 0

    def emit(self, record: logging.LogRecord) -> None:
        self.count += bool(record.exc_info and isinstance(record.exc_info[1], Interrupt))


def main(directory: str, rounds: int, seed: int) -> dict[str, Any]:
    """Interrupt a loop of checkouts, with a new pool each round, and tell where the exceptions went."""
    assert ullage.install({"ULLAGE_DIR": directory, "ULLAGE_ROLE": "worker"})
    dropped = _SwallowedBySQLAlchemy()
    pool_log = logging.getLogger("sqlalchemy.pool")
    pool_log.addHandler(dropped)
    pool_log.propagate = False
    unraisable: list[type] = []
    sys.unraisablehook = lambda hooked: unraisable.append(hooked.exc_type)
    timer, random_source = Timer(), random.Random(seed)
    pools: list[weakref.ref[Any]] = []
    found = [_round(directory, f"interrupted{number}", timer, random_source, pools) for number in range(rounds)]
    gc.collect()
    # Python keeps a finalizer that was interrupted, and with it the pool, for ever.
    kept = sum(len(pool()._ullage_state.out) for pool in pools if pool() is not None)
    page = Page.read(Path(directory))
    return {
        "raised": timer.raised,
        "caught": sum(each["caught"] for each in found),
        "dropped_by_sqlalchemy": dropped.count,
        "dropped_by_python": unraisable.count(Interrupt),
        "rounds": found,
        "lost": sum(each["lost"] for each in found),
        "kept": kept,
        "probe_up": page.total("ullage_probe_up"),
        "dropped_slots": page.total("ullage_dropped_series_total"),
        "leaks": page.total("ullage_leaks_total"),
        "collected": page.total("ullage_leaks_total", kind="reclaimed_by_gc"),
        "recovered": page.total("sqlalchemy_unreleased_sessions_recovered_total"),
        "slots_in_use": _slots_in_use(directory),
    }


def _round(
    directory: str, name: str, timer: Timer, random_source: random.Random, pools: list[weakref.ref[Any]]
) -> dict[str, Any]:
    # No limit: SQLAlchemy loses capacity itself when it is interrupted between taking a record and using it.
    engine = create_engine("sqlite://", poolclass=QueuePool, pool_size=5, max_overflow=-1, pool_logging_name=name)
    with engine.connect():
        pass
    caught = 0
    for _ in range(INTERRUPTS):
        try:
            timer.start(random_source.uniform(1e-6, MOST_SECONDS))
            while not timer.is_due:
                with engine.connect():
                    pass
        except Interrupt:
            caught += 1
    gc.collect()
    with engine.connect():
        pass
    page = Page.read(Path(directory))
    pool: Any = engine.pool
    pools.append(weakref.ref(pool))
    return {
        "caught": caught,
        "waiting": page.total("sqlalchemy_pool_waiting_requests"),
        # Connections that never came back, because SQLAlchemy was interrupted on their way back.
        "lost": len(pool._ullage_state.out),
        "slots_in_use": _slots_in_use(directory, name),
        "levels": [page.total("sqlalchemy_pool_connections", engine=name, state=state) for state in ("idle", "used")],
        "pool_levels": [pool.checkedin(), pool.checkedout()],
    }


def _slots_in_use(directory: str, engine: str = "") -> int:
    (snapshot,) = Reading(Path(directory))
    return sum(engine in ("", found.engine) for found in outstanding(snapshot, time.monotonic()))


if __name__ == "__main__":
    run(main)
