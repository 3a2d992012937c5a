"""The operations that are killed at each instruction: how each is prepared and begun, and what may be true after."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from sqlalchemy.pool import QueuePool

from tests.promises.readings import sum_of
from tests.promises.scenarios.kills import Connection
from ullage.claim import Claim, claim
from ullage.leaks import CHAIN, COUNTED, ENGINE, KIND_INDEX, OPEN, PENDING, RETURNED, WAITING, WORK
from ullage.metrics import LEAKS_TOTAL, POOL_CHECKOUTS, POOL_USE, REQUEST_DURATION, UNRELEASED_TOTAL
from ullage.probe import pool as pool_probe
from ullage.probe.process import Process
from ullage.segment import Identity
from ullage.segment import layout as at
from ullage.settings import ProbeSettings

IDENTITY = Identity("worker", "", os.geteuid())
ENGINE_NAME = "mysql://db/shop"
Cells = dict[tuple[str, ...], list[float]]
Work = Callable[[], object]


class Operation:
    """Something that may be killed anywhere."""

    name = ""
    # How much the served totals may have grown when it was killed: at least, at most.
    grown: Mapping[str, tuple[int, int]] = MappingProxyType({})

    def prepare(self, directory: Path) -> None:
        """Make the files that are there before."""
        claimed = claim(directory, IDENTITY, 60.0)
        checkouts = claimed.writer.counter(POOL_CHECKOUTS, ENGINE_NAME)
        claimed.writer.words[checkouts] += 41.0
        claimed.abandon()

    def begin(self, directory: Path) -> Work:
        """Come to the point before the operation, in the child, and return the operation itself."""
        raise NotImplementedError

    def judge(self, before: Cells, after: Cells) -> str:
        """Say what is wrong, if anything."""
        for name in (POOL_CHECKOUTS.name, POOL_USE.name, REQUEST_DURATION.name, LEAKS_TOTAL.name):
            low, high = self.grown.get(name, (0, 0))
            grown = sum_of(after, name) - sum_of(before, name)
            if not low <= grown <= high:
                return f"{name} grew by {grown:g}, not by {low} to {high}"
        leaks, by_site = sum_of(after, LEAKS_TOTAL.name), sum_of(after, UNRELEASED_TOTAL.name)
        return "" if leaks == by_site else f"{leaks:g} leaks, {by_site:g} by site"


class Create(Operation):
    """The first claim in an empty directory."""

    name = "claim of a new segment"

    def prepare(self, directory: Path) -> None:
        """Leave the directory empty."""

    def begin(self, directory: Path) -> Work:
        """Claim."""
        return lambda: claim(directory, IDENTITY, 60.0)


class Adopt(Operation):
    """The claim of a segment whose writer died at the worst of times, and left everything that can be left."""

    name = "adoption"

    def prepare(self, directory: Path) -> None:
        """Leave slots in every state, and a leak whose counters are half stored."""
        super().prepare(directory)
        claimed = claim(directory, IDENTITY, 60.0)
        words = claimed.writer.words
        held, over = PENDING + KIND_INDEX["held_at_job_end"], PENDING + KIND_INDEX["over_threshold"]
        states = (OPEN, OPEN, held, held, over, WAITING, COUNTED)
        slots = [_slot(claimed, state, f"jobs.run{number % 3}") for number, state in enumerate(states)]
        words[slots[3] + RETURNED] = 1.0
        self._break_off(claimed, slots[2])
        claimed.abandon()

    def _break_off(self, claimed: Claim, slot: int) -> None:
        writer, words = claimed.writer, claimed.writer.words
        labels = (ENGINE_NAME, "default", "jobs.run2", "jobs.py:7 run", "held_at_job_end", "leaked")
        cells = (writer.counter(LEAKS_TOTAL, "held_at_job_end"), writer.counter(UNRELEASED_TOTAL, *labels))
        words[at.JOURNAL_SLOT] = float(slot)
        words[at.JOURNAL_STATE] = COUNTED
        for position, cell in zip((at.JOURNAL_PAIRS, at.JOURNAL_PAIRS + 2), cells, strict=True):
            words[position] = float(cell)
            words[position + 1] = words[cell] + 1.0
        words[at.JOURNAL_SEQUENCE] += 1.0
        words[cells[0]] += 1.0

    def begin(self, directory: Path) -> Work:
        """Claim."""
        return lambda: claim(directory, IDENTITY, 60.0)


class Count(Operation):
    """The first leak of its kind and place: new strings, new series, the journal."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.name = f"count of {kind}"
        self.grown = {LEAKS_TOTAL.name: (1, 1)}

    def begin(self, directory: Path) -> Work:
        """Count the leak of an open slot."""
        claimed = claim(directory, IDENTITY, 60.0)
        slot = _slot(claimed, OPEN, "jobs.run")
        return lambda: claimed.leaks.count(slot, self.kind, "job-1")


class Observe(Operation):
    """The first request to a route: a new histogram, and one observation."""

    name = "new histogram"
    grown = MappingProxyType({REQUEST_DURATION.name: (0, 1)})

    def begin(self, directory: Path) -> Work:
        """Make the series and count in its first bucket."""
        writer = claim(directory, IDENTITY, 60.0).writer

        def observe() -> None:
            cell = writer.counter(REQUEST_DURATION, "GET", "/orders/<int:number>", "200")
            writer.words[cell] += 1.0

        return observe


class CheckOut(Operation):
    """The first checkout from a pool."""

    name = "first checkout"
    grown = MappingProxyType({POOL_CHECKOUTS.name: (0, 1), LEAKS_TOTAL.name: (0, 1)})

    def begin(self, directory: Path) -> Work:
        """Check out, and keep it."""
        pool, kept = _probed_pool(directory), []
        return lambda: kept.append(pool.connect())


class CheckIn(Operation):
    """A connection that comes back in time."""

    name = "checkin"
    grown = MappingProxyType({POOL_CHECKOUTS.name: (1, 1), POOL_USE.name: (0, 1), LEAKS_TOTAL.name: (0, 1)})

    def begin(self, directory: Path) -> Work:
        """Check out, and then in."""
        close: Work = _probed_pool(directory).connect().close
        return close


class CheckInLate(Operation):
    """A connection that comes back after the threshold, and so is a leak whenever its process dies."""

    name = "late checkin"
    grown = MappingProxyType({POOL_CHECKOUTS.name: (1, 1), POOL_USE.name: (0, 1), LEAKS_TOTAL.name: (1, 1)})

    def begin(self, directory: Path) -> Work:
        """Check out, and then in."""
        pool = _probed_pool(directory)
        close: Work = pool.connect().close
        pool._ullage_state.threshold = -1.0
        return close


def _slot(claimed: Claim, state: float, function: str) -> int:
    writer = claimed.writer
    slot = writer.take_slot()
    writer.words[slot + ENGINE] = float(writer.intern(ENGINE_NAME))
    writer.words[slot + CHAIN] = float(writer.intern("jobs.py:7 run\nworker.py:1 main", reserved=True))
    writer.words[slot + WORK] = float(writer.intern(f"default\n{function}"))
    writer.words[slot] = state
    return slot


def _probed_pool(directory: Path) -> Any:
    process = Process(ProbeSettings(directory=directory, role=IDENTITY.role))
    pool_probe.install(process)
    return QueuePool(Connection, logging_name=ENGINE_NAME)


KINDS = ("held_at_job_end", "reclaimed_by_gc")
OPERATIONS: tuple[Operation, ...] = (
    Create(),
    Adopt(),
    *map(Count, KINDS),
    Observe(),
    CheckOut(),
    CheckIn(),
    CheckInLate(),
)
