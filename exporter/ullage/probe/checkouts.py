"""What is measured of one connection pool: checkouts, waits, use, and a slot for each connection that is out."""

from __future__ import annotations

import sys
import weakref
from bisect import bisect_left
from threading import get_ident
from time import monotonic
from types import FrameType
from typing import Any

from sqlalchemy import exc
from sqlalchemy.engine import Engine
from sqlalchemy.pool import Pool, SingletonThreadPool, StaticPool

from ullage import metrics as m
from ullage.leaks import CHAIN, ENGINE, FREE, KEPT, KIND_INDEX, OPEN, PENDING, POOL, RETURNED, STARTED, WORK
from ullage.probe.levels import PoolGauges
from ullage.probe.process import Process, Work, current_work
from ullage.probe.stale import Stale
from ullage.segment.layout import SCRATCH

# Most values fall below the first bound and need no search.
_LAST_FAST_WAIT = m.WAIT_BUCKETS[0]
_LAST_FAST_USE = m.USE_BUCKETS[0]
_WAIT_SUM = len(m.WAIT_BUCKETS) + 1
_USE_SUM = len(m.USE_BUCKETS) + 1
_COLLECTED = float(PENDING + KIND_INDEX["reclaimed_by_gc"])
_OVER = float(PENDING + KIND_INDEX["over_threshold"])


class PoolState:
    """What is measured of one live pool. Kept on the pool itself, so that it lives as long."""

    __slots__ = (
        "__weakref__",
        "checkouts",
        "engine",
        "engine_id",
        "engine_ref",
        "free",
        "gauges",
        "is_shared",
        "leaks",
        "out",
        "process",
        "recovered",
        "sample",
        "serial",
        "sites",
        "stale",
        "threshold",
        "use",
        "wait",
        "words",
    )

    _serials = iter(range(1, sys.maxsize))

    def __init__(self, pool: Pool, engine: str, process: Process) -> None:
        self.engine = engine
        self.process = process
        self.sites = process.sites
        self.engine_ref: weakref.ref[Engine] | None = None
        self.serial = float(next(self._serials))
        self.stale: Stale = Stale(engine, process)
        # Per record: its slot, since when, the weak reference to its fairy, and the request or job it is for.
        self.out: dict[Any, tuple[int, float, Any, Work | None]] = {}
        self.is_shared = isinstance(pool, (SingletonThreadPool, StaticPool))
        self.bind(pool)

    def bind(self, pool: Pool) -> None:
        """Take the process's segment, at the start and in a forked child, which has none of its parent's checkouts."""
        writer = self.process.writer
        self.words = writer.words
        # Slots that bear this pool's mark. Those that a leak went through go back to the process.
        self.free: list[int] = []
        self.leaks = self.process.leaks
        self.threshold = self.process.settings.leak_threshold_seconds
        self.engine_id = float(writer.intern(self.engine))
        self.checkouts = writer.counter(m.POOL_CHECKOUTS, self.engine)
        self.wait = writer.counter(m.POOL_WAIT, self.engine)
        self.use = writer.counter(m.POOL_USE, self.engine)
        self.recovered = writer.counter(m.RECOVERED_TOTAL, self.engine)
        for metric in (m.POOL_TIMEOUTS, m.POOL_OPENED, m.POOL_CREATE):
            writer.counter(metric, self.engine)
        for outcome in ("success", "failure"):
            writer.counter(m.POOL_RETRIES, self.engine, outcome)
        self.out.clear()
        self.gauges = PoolGauges(pool, self.engine, writer)
        self.sample = self.gauges.sample
        self.sample(pool, self.out)

    def take_slot(self) -> int:
        """Return a slot marked with this pool, when the pool has none left over from earlier checkouts."""
        slot = self.process.writer.take_slot()
        self.words[slot + ENGINE] = self.engine_id
        self.words[slot + POOL] = self.serial
        return slot

    def free_slot(self, slot: int) -> None:
        """Make a slot free for the next checkout from this pool."""
        self.words[slot] = FREE
        if slot != SCRATCH:
            self.free.append(slot)

    def give_up(self, slot: int, error: BaseException | None = None) -> None:
        """End a request that got no connection."""
        self.free_slot(slot)
        if isinstance(error, exc.TimeoutError):
            index = self.process.writer.counter(m.POOL_TIMEOUTS, self.engine)
            self.words[index] += 1.0

    def checked_out(self, pool: Any, fairy: Any, slot: int, started: float, frame: FrameType) -> None:
        """Record a checkout; `frame` is the one that asked the pool."""
        words, out = self.words, self.out
        now = monotonic()
        record = fairy._connection_record
        waited = now - started
        index = self.wait
        total = index + _WAIT_SUM
        if waited > _LAST_FAST_WAIT:
            index += bisect_left(m.WAIT_BUCKETS, waited)
        if self.is_shared and (fairy._counter != 1 or record in out):
            self.give_up(slot)  # the same connection once more: SingletonThreadPool's fairy, StaticPool's record
        else:
            work = current_work.get()
            label_id = 0.0 if work is None else work.label_id
            if work is not None and work.thread and work.thread != get_ident():
                work = None  # a thread that inherited the context: named after it, but its checkouts are its own
            chain = self.sites.of(frame)
            # No call from here to the counters, so that an asynchronous exception finds all of it done or nothing.
            out[record] = (slot, now, record.fairy_ref, work)
            words[slot + STARTED] = now
            words[slot + CHAIN] = chain
            words[slot + WORK] = label_id
            words[slot] = OPEN
        words[index] += 1.0
        words[total] += waited
        words[self.checkouts] += 1.0
        self.sample(pool, out)

    def checked_in(self, record: Any) -> None:
        """Record that a connection came back; nothing for a record that was not out. Broken off, it may be repeated."""
        found = self.out.get(record)
        if found is None:
            return
        words, out = self.words, self.out
        slot, since, fairy_ref, work = found
        used = monotonic() - since
        index = self.use
        total = index + _USE_SUM
        if used > _LAST_FAST_USE:
            index += bisect_left(m.USE_BUCKETS, used)
        is_collected = fairy_ref() is None
        # No call from here to the slot's release, for the same reason as in `checked_out`.
        if record in out:
            del out[record]
        words[index] += 1.0
        words[total] += used
        if words[slot] == OPEN and not is_collected and used <= self.threshold:
            words[slot] = FREE
            if slot != SCRATCH:
                self.free.append(slot)
            return
        if words[slot] != KEPT:
            words[self.recovered] += 1.0
        if slot == SCRATCH:
            return
        # A leak that was counted, is about to be, or is to be counted now: once in any case.
        if words[slot] != OPEN:
            self.leaks.returned(slot)
            return
        words[slot + RETURNED] = 0.0
        words[slot] = _COLLECTED if is_collected else _OVER
        self.leaks.pending.append((slot, work.job_id if work is not None else ""))
        self.leaks.count_pending()

    def held_by(self, work: Work) -> list[int]:
        """Return the slots of the connections that `work` still holds."""
        return [slot for slot, _, _, owner in list(self.out.values()) if owner is work and slot != SCRATCH]
