"""SQLAlchemy's connection pools: the wraps and listeners that feed `checkouts.py`, `levels.py` and `stale.py`.

`Pool.connect`, `Pool._return_conn` and the record's connect are wrapped, because SQLAlchemy has no event before a
checkout, for a wait, for a timeout or for a failed connect, `do_connect` is not fired for a `creator`, and two empty
`checkout` and `checkin` listeners alone cost half of the budget. All else is pool events, which are rare.
"""

from __future__ import annotations

import sys
import weakref
from bisect import bisect_left
from collections.abc import Callable
from time import monotonic
from types import FrameType
from typing import Any

from sqlalchemy import event
from sqlalchemy.pool import Pool, SingletonThreadPool
from sqlalchemy.pool.base import _ConnectionRecord

from ullage import metrics as m
from ullage.leaks import FREE, OPEN, POOL, STARTED, WAITING
from ullage.probe.checkouts import PoolState
from ullage.probe.fork import leave_to_parent
from ullage.probe.levels import PoolGauges, engine_label, find_engine
from ullage.probe.process import Probe, Process, Work, Wraps
from ullage.probe.stale import close_reason, code_of, watch
from ullage.segment.layout import SLOT_WORDS, SLOTS

NAME = "pool"
# In the pool's __dict__, so that looking it up costs next to nothing and it goes with the pool.
STATE = "_ullage_state"
INSTALLED = "_ullage_installed"
_POOL_OF_RECORD = "_ConnectionRecord__pool"
_RECORD_CONNECT = "_ConnectionRecord__connect"
_CLOSE_FRAMES = 14


class PoolProbe:
    """The probe: installs the wraps and listeners, and finds the state of a pool."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self.pools: weakref.WeakSet[Pool] = weakref.WeakSet()
        # Kept alive here; each forgets itself when its pool is collected.
        self._graves: set[weakref.ref[Pool]] = set()
        self._gauges: dict[float, PoolGauges] = {}
        self.wraps = Wraps()

    def rebind(self) -> None:
        """Take the process's segment for every live pool."""
        self._gauges.clear()
        for pool in list(self.pools):
            state = pool.__dict__[STATE]
            state.bind(pool)
            self._gauges[state.serial] = state.gauges

    def silence(self) -> None:
        """Take the wraps off again and let nothing stand that would no longer be kept up to date."""
        self.wraps.take_off()
        for gauges in self._gauges.values():
            gauges.release()
        for slot in self._slots():
            self.process.writer.words[slot] = FREE

    def _slots(self) -> range:
        return range(SLOTS, SLOTS + self.process.writer.slots_used * SLOT_WORDS, SLOT_WORDS)

    def attach(self, pool: Pool, frame: FrameType) -> PoolState | None:
        """Make the state of a pool, at its first checkout; None when that fails."""
        try:
            return self._attach(pool, frame)
        except BaseException as error:  # noqa: BLE001 - what is not the probe's is raised again
            self.process.swallow(NAME, error)
            return None

    def _attach(self, pool: Pool, frame: FrameType) -> PoolState:
        made = PoolState(pool, engine_label(pool, frame), self.process)
        state: PoolState = pool.__dict__.setdefault(STATE, made)
        if state is not made:  # the first checkouts of several threads met here
            made.gauges.release()
            return state
        if self.process.settings.pre_ping == "enforce" and hasattr(pool, "_pre_ping"):
            pool._pre_ping = True
            state.gauges.sample_settings(pool)
        watch(pool._dialect, state.stale)
        engine = find_engine(frame)
        state.engine_ref = weakref.ref(engine) if engine is not None else None
        self.pools.add(pool)
        serial = state.serial
        self._gauges[serial] = state.gauges
        self._graves.add(weakref.ref(pool, lambda grave: self._bury(grave, serial)))
        return state

    def _bury(self, grave: weakref.ref[Pool], serial: float) -> None:
        """Called when a pool was collected: give its gauges back; what was still out went with it."""
        self._graves.discard(grave)
        writer, words = self.process.writer, self.process.writer.words
        gauges = self._gauges.pop(serial, None)
        if gauges is not None:
            gauges.release()
        for slot in self._slots():
            if words[slot + POOL] != serial:
                continue
            if words[slot] == OPEN:
                self.process.leaks.count(slot, "reclaimed_by_gc")
            else:
                words[slot] = words[slot + POOL] = 0.0
                writer.free_slots.append(slot)

    def held_by(self, work: Work) -> list[int]:
        """Return the slots of all connections that `work` still holds, whatever their pool."""
        held: list[int] = []
        # At the end of each request: iterating the WeakSet costs ten times as much.
        for grave in tuple(self._graves):
            pool = grave()
            if pool is not None and pool.__dict__[STATE].out:
                held += pool.__dict__[STATE].held_by(work)
        return held

    def fairies_of(self, work: Work, slots: list[int]) -> dict[int, Any]:
        """Return the pool's proxies of the connections in these slots of a job, by slot."""
        states = [pool.__dict__[STATE] for pool in list(self.pools)]
        found = {
            slot: fairy_ref()
            for state in states
            for slot, _, fairy_ref, owner in list(state.out.values())
            if owner is work and slot in slots
        }
        return {slot: fairy for slot, fairy in found.items() if fairy is not None}

    def leave_to_parent(self) -> None:
        """Called in a forked child: its parent's pools and connections are none of its own."""
        inherited = []
        for pool in list(self.pools):
            state = pool.__dict__.pop(STATE)
            engine = state.engine_ref() if state.engine_ref is not None else None
            inherited.append((pool, engine, list(state.out)))
        self.pools.clear()
        self._graves.clear()
        self._gauges.clear()
        leave_to_parent(inherited)


def install(process: Process) -> PoolProbe | None:
    """Instrument SQLAlchemy's pools, those made before included; None when they are instrumented already."""
    if INSTALLED in Pool.__dict__:
        return None
    setattr(Pool, INSTALLED, True)
    probe = PoolProbe(process)
    process.add(Probe(NAME, probe.rebind, probe.silence))
    process.held_by = probe.held_by
    process.fairies_of = probe.fairies_of
    if process.settings.fork_safety:
        process.after_fork.append(probe.leave_to_parent)
    for kind in (Pool, SingletonThreadPool):
        if "connect" in kind.__dict__:
            probe.wraps.put_on(kind, "connect", lambda original: _wrap_connect(original, probe))
        if "_return_conn" in kind.__dict__:  # SingletonThreadPool's own in SQLAlchemy 1.4
            probe.wraps.put_on(kind, "_return_conn", lambda original: _wrap_return(original, process))
    probe.wraps.put_on(_ConnectionRecord, _RECORD_CONNECT, lambda original: _wrap_record(original, process))
    for name, listener in (("close", _on_close), ("detach", _on_detach), ("invalidate", _on_invalidate)):
        event.listen(Pool, name, _guarded(listener, process))
    return probe


def _wrap_connect(original: Callable[[Any], Any], probe: PoolProbe) -> Callable[[Any], Any]:
    process = probe.process

    def connect(self: Any) -> Any:
        frame = sys._getframe(1)
        try:
            state = self._ullage_state
        except AttributeError:
            state = probe.attach(self, frame)
            if state is None:
                return original(self)
        started = monotonic()
        words, free = state.words, state.free
        # No call stands between taking a slot and marking it, so that an asynchronous exception cannot lose one.
        try:
            slot = free[-1]
            del free[-1]
        except IndexError:
            slot = state.take_slot()
        words[slot + STARTED] = started
        words[slot] = WAITING
        try:
            fairy = original(self)
        except BaseException as error:
            state.give_up(slot, error)
            raise
        try:
            state.checked_out(self, fairy, slot, started, frame)
        except BaseException as error:  # noqa: BLE001 - what is not the probe's is raised again
            if words[slot] == WAITING:
                state.give_up(slot)
            process.swallow(NAME, error)
        return fairy

    return connect


def _wrap_return(original: Callable[[Any, Any], None], process: Process) -> Callable[[Any, Any], None]:
    again = _guarded(lambda _, state, record: state.checked_in(record), process)

    def _return_conn(self: Any, record: Any) -> None:
        try:
            state = self._ullage_state
        except AttributeError:
            original(self, record)
            return
        try:
            state.checked_in(record)
        except BaseException as error:  # noqa: BLE001 - what is not the probe's is raised again
            if record in state.out:  # broken off before it stored anything
                again(state, record)
            process.swallow(NAME, error)
        finally:
            original(self, record)
        try:
            state.sample(self, state.out)
        except BaseException as error:  # noqa: BLE001 - what is not the probe's is raised again
            process.swallow(NAME, error)

    return _return_conn


def _wrap_record(original: Callable[[Any], None], process: Process) -> Callable[[Any], None]:
    """Wrap the opening of a connection, for its time, its error and the end of a retry."""

    def __connect(self: Any) -> None:
        started = monotonic()
        try:
            original(self)
        except Exception as error:
            _guarded(_on_connect_error, process)(self, error)
            raise
        _guarded(_on_connected, process)(self, monotonic() - started)

    return __connect


def _guarded(listener: Callable[..., None], process: Process) -> Callable[..., None]:
    def guarded(*args: Any) -> None:
        try:
            listener(process, *args)
        except Exception as error:  # noqa: BLE001 - what is not the probe's is raised again
            process.swallow(NAME, error)

    return guarded


def _state_of_record(record: Any) -> tuple[Any, PoolState | None]:
    pool = getattr(record, _POOL_OF_RECORD)
    return pool, pool.__dict__.get(STATE)


def _on_connected(process: Process, record: Any, seconds: float) -> None:
    """Called when a connection to the server has been opened."""
    _, state = _state_of_record(record)
    if state is None:
        return
    writer = process.writer
    opened, created = writer.counter(m.POOL_OPENED, state.engine), writer.counter(m.POOL_CREATE, state.engine)
    bucket, total = created + bisect_left(m.CREATE_BUCKETS, seconds), created + len(m.CREATE_BUCKETS) + 1
    writer.words[opened] += 1.0
    writer.words[bucket] += 1.0
    writer.words[total] += seconds
    state.stale.connected(record, "success")


def _on_connect_error(process: Process, record: Any, error: Exception) -> None:
    """Called when a connection could not be opened."""
    _, state = _state_of_record(record)
    if state is None:
        return
    index = process.writer.counter(m.POOL_CONNECT_ERRORS, state.engine, code_of(error))
    process.writer.words[index] += 1.0
    state.stale.connected(record, "failure")


def _on_invalidate(process: Process, connection: Any, record: Any, exception: BaseException | None) -> None:
    """Called before an invalidated connection is closed."""
    _, state = _state_of_record(record)
    if state is not None:
        state.stale.invalidated(record, exception)


def _on_close(process: Process, connection: Any, record: Any) -> None:
    """Called before a connection is closed; SQLAlchemy says why only by the functions on its stack."""
    pool, state = _state_of_record(record)
    if state is None:
        return
    names: list[str] = []
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and len(names) < _CLOSE_FRAMES:
        names.append(frame.f_code.co_name)
        frame = frame.f_back
    reason = close_reason(pool, record, names)
    if reason == "pool_invalidated":
        state.stale.pool_invalidated(record)
    _count_closed(process, state, reason)


def _on_detach(process: Process, connection: Any, record: Any) -> None:
    """Called after a connection left its pool for good: it never comes back, and the pool fires no checkin for it."""
    _, state = _state_of_record(record)
    if state is not None:
        state.checked_in(record)
        _count_closed(process, state, "detached")


def _count_closed(process: Process, state: PoolState, reason: str) -> None:
    index = process.writer.counter(m.POOL_CLOSED, state.engine, reason)
    process.writer.words[index] += 1.0
