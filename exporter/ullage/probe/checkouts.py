"""What is measured of one connection pool: checkouts, waits, use, and a slot for each connection that is out."""

from __future__ import annotations

import sys
from bisect import bisect_left
from time import monotonic
from types import FrameType
from typing import Any

from sqlalchemy import exc
from sqlalchemy.pool import Pool

from ullage import metrics as m
from ullage.leaks import CHAIN, COUNTED, ENGINE, FREE, FUNCTION, OPEN, POOL, QUEUE, RETURNED, STARTED, WAITING
from ullage.probe.levels import PoolGauges
from ullage.probe.process import Process, Work, current_work
from ullage.probe.sites import Sites
from ullage.probe.stale import Stale
from ullage.segment.layout import SCRATCH

# Most values fall below the first bound and need no search.
_LAST_FAST_WAIT = m.WAIT_BUCKETS[0]
_LAST_FAST_USE = m.USE_BUCKETS[0]
_WAIT_SUM = len(m.WAIT_BUCKETS) + 1
_USE_SUM = len(m.USE_BUCKETS) + 1


class PoolState:
    """What is measured of one live pool. Kept on the pool itself, so that it lives as long."""

    __slots__ = (
        "__weakref__",
        "checkouts",
        "engine",
        "engine_id",
        "free",
        "gauges",
        "leaks",
        "out",
        "process",
        "serial",
        "sites",
        "stale",
        "threshold",
        "use",
        "wait",
        "words",
    )

    _serials = iter(range(1, sys.maxsize))

    def __init__(self, pool: Pool, engine: str, process: Process, sites: Sites) -> None:
        self.engine = engine
        self.process = process
        self.sites = sites
        self.serial = float(next(self._serials))
        self.stale: Stale = Stale(engine, process)
        # Per record: its slot, the weak reference to its fairy, and the request or job it was checked out for.
        self.out: dict[Any, tuple[int, Any, Work | None]] = {}
        self.bind(pool)

    def bind(self, pool: Pool) -> None:
        """Take the process's segment, at the start and in a forked child, which has none of its parent's checkouts."""
        writer = self.process.writer
        self.words = writer.words
        self.free = writer.free_slots
        self.leaks = self.process.leaks
        self.threshold = self.process.settings.leak_threshold_seconds
        self.engine_id = float(writer.intern(self.engine))
        self.checkouts = writer.counter(m.POOL_CHECKOUTS, self.engine)
        self.wait = writer.counter(m.POOL_WAIT, self.engine)
        self.use = writer.counter(m.POOL_USE, self.engine)
        for metric in (m.POOL_TIMEOUTS, m.POOL_OPENED, m.POOL_CREATE, m.RECOVERED_TOTAL):
            writer.counter(metric, self.engine)
        for outcome in ("success", "failure"):
            writer.counter(m.POOL_RETRIES, self.engine, outcome)
        self.out.clear()
        self.gauges = PoolGauges(pool, self.engine, writer)
        self.gauges.sample(pool, 0)

    def begin(self, started: float) -> int:
        """Take a slot for a request that may have to wait. No call stands between taking and marking it."""
        words, free = self.words, self.free
        try:
            slot = free[-1]
            del free[-1]
        except IndexError:
            slot = self.process.writer.take_slot()
        words[slot + STARTED] = started
        words[slot + ENGINE] = self.engine_id
        words[slot + POOL] = self.serial
        words[slot] = WAITING
        return slot

    def give_up(self, slot: int, error: BaseException | None = None) -> None:
        """End a request that got no connection."""
        self.words[slot] = FREE
        if slot != SCRATCH:
            self.free.append(slot)
        if isinstance(error, exc.TimeoutError):
            index = self.process.writer.counter(m.POOL_TIMEOUTS, self.engine)
            self.words[index] += 1.0

    def checked_out(self, pool: Pool, fairy: Any, slot: int, started: float, frame: FrameType) -> None:
        """Record a checkout; `frame` is the one that asked the pool."""
        words = self.words
        now = monotonic()
        record = fairy._connection_record
        if fairy._counter != 1 or record in self.out:
            self.give_up(slot)  # the same connection once more: SingletonThreadPool's fairy, StaticPool's record
        else:
            work = current_work.get()
            self.out[record] = (slot, record.fairy_ref, work)
            words[slot + STARTED] = now
            words[slot + CHAIN] = self.sites.of(frame)
            if work is not None:
                words[slot + FUNCTION] = work.function_id
                words[slot + QUEUE] = work.queue_id
            else:
                words[slot + FUNCTION] = words[slot + QUEUE] = 0.0
            words[slot] = OPEN
        waited = now - started
        index = self.wait if waited <= _LAST_FAST_WAIT else self.wait + bisect_left(m.WAIT_BUCKETS, waited)
        total = self.wait + _WAIT_SUM
        words[index] += 1.0
        words[total] += waited
        index = self.checkouts
        words[index] += 1.0
        self.gauges.sample(pool, len(self.out))

    def checked_in(self, record: Any) -> None:
        """Record that a connection came back; nothing for a record that was not out."""
        out = self.out.pop(record, None)
        if out is None:
            return
        words = self.words
        slot, fairy_ref, work = out
        used = monotonic() - words[slot + STARTED]
        index = self.use if used <= _LAST_FAST_USE else self.use + bisect_left(m.USE_BUCKETS, used)
        total = self.use + _USE_SUM
        words[index] += 1.0
        words[total] += used
        is_collected = fairy_ref is not None and fairy_ref() is None
        if words[slot] == OPEN and not is_collected and used <= self.threshold:
            words[slot] = FREE
            if slot != SCRATCH:
                self.free.append(slot)
        else:
            self._returned_late(slot, is_collected, work)

    def _returned_late(self, slot: int, is_collected: bool, work: Work | None) -> None:
        """Free the slot of a leak. It was counted, is about to be, or is counted now: once in any case."""
        words = self.words
        index = self.process.writer.counter(m.RECOVERED_TOTAL, self.engine)
        words[index] += 1.0
        if slot == SCRATCH:
            return
        if words[slot] == OPEN:
            kind = "reclaimed_by_gc" if is_collected else "over_threshold"
            self.leaks.count(slot, kind, work.job_id if work else "")
            return
        words[slot + RETURNED] = 1.0
        if words[slot] == COUNTED:
            words[slot] = FREE
            self.free.append(slot)

    def held_by(self, work: Work) -> list[int]:
        """Return the slots of the connections that `work` still holds."""
        return [slot for slot, _, owner in list(self.out.values()) if owner is work and slot != SCRATCH]
