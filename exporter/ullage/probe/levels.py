"""What a pool holds, read from the pool itself and never counted: levels, limits, settings; and its engine's name.

Each live pool has gauges of its own, which the collector combines: two engines on one URL would overwrite each other.
Nothing here refers to a pool, so that a pool is collected when its engine is.
"""

from __future__ import annotations

import math
from collections.abc import Sized
from types import FrameType
from typing import Any

from sqlalchemy.engine import Engine
from sqlalchemy.pool import AssertionPool, Pool, QueuePool, SingletonThreadPool, StaticPool

from ullage import metrics as m
from ullage.metrics import Metric
from ullage.segment import SegmentWriter

_SETTINGS = {
    "size": ("size", "_size"),
    "max_overflow": ("_max_overflow",),
    "timeout": ("_timeout",),
    "recycle": ("_recycle",),
    "pre_ping": ("_pre_ping",),
}
_FRAMES_TO_ENGINE = 5


def engine_label(pool: Pool, frame: FrameType | None) -> str:
    """Return the pool's logging name, else dialect://host/database of the engine that is asking it.

    A pool does not know its URL; the frame that called `Pool.connect` is the engine's.
    """
    name = getattr(pool, "logging_name", None)
    if name:
        return str(name)
    engine = find_engine(frame)
    if engine is not None:
        return _url_label(engine.url)
    return f"{getattr(pool._dialect, 'name', type(pool).__name__)}://"


def find_engine(frame: FrameType | None) -> Engine | None:
    """Return the engine that is asking its pool for a connection, from its frame."""
    for _ in range(_FRAMES_TO_ENGINE):
        if frame is None:
            break
        asking = frame.f_locals.get("self")
        if isinstance(asking, Engine):
            return asking
        frame = frame.f_back
    return None


def _url_label(url: Any) -> str:
    port = f":{url.port}" if url.port else ""
    return f"{url.get_backend_name()}://{url.host or ''}{port}/{url.database or ''}"


class PoolGauges:
    """The gauges of one live pool."""

    def __init__(self, pool: Pool, engine: str, writer: SegmentWriter) -> None:
        self.writer = writer
        self.words = writer.words
        self._has_overflow = True  # so that the first sample stores it
        self._is_queue = isinstance(pool, QueuePool) and hasattr(pool._pool, "queue")
        self._size: int = pool._pool.maxsize if isinstance(pool, QueuePool) else 0
        self._peak = 0
        self._taken: list[tuple[Metric, tuple[str, ...], int]] = []
        self._engine = engine
        self._idle = self._take(m.POOL_CONNECTIONS, engine, "idle")
        self._used = self._take(m.POOL_CONNECTIONS, engine, "used")
        self._overflow = self._take(m.POOL_OVERFLOW, engine)
        self._peak_word = self._take(m.POOL_CONNECTIONS_PEAK, engine)
        writer.words[self._peak_word] = 0.0
        writer.words[self._take(m.POOLS, engine)] = 1.0
        writer.words[self._take(m.POOL_CONNECTIONS_MAX, engine)] = _limit(pool)
        self._settings = {name: self._take(m.POOL_SETTING, engine, name) for name in _SETTINGS}
        self.sample_settings(pool)

    def _take(self, metric: Metric, *labels: str) -> int:
        index = self.writer.gauge(metric, *labels)
        self._taken.append((metric, labels, index))
        return index

    def sample(self, pool: Any, out: Sized) -> None:
        """Read the levels. Called after each checkout and checkin; `out` is what the pool has checked out."""
        words = self.words
        if self._is_queue:
            idle = len(pool._pool.queue)
            overflow = pool._overflow
            used = self._size - idle + overflow
        else:
            idle, used, overflow = _slow_levels(pool, len(out))
        words[self._idle] = idle
        # Below 0 in a disposed pool to which a connection came back late.
        words[self._used] = used if used > 0 else 0.0
        if used > self._peak:
            self._peak = used
            words[self._peak_word] = used
        if overflow > 0 or self._has_overflow:
            self._has_overflow = overflow > 0
            words[self._overflow] = overflow if overflow > 0 else 0.0

    def sample_settings(self, pool: Pool) -> None:
        """Read the settings; one that this kind of pool lacks has no value."""
        for setting, names in _SETTINGS.items():
            found = next((getattr(pool, name) for name in names if hasattr(pool, name)), math.nan)
            self.writer.words[self._settings[setting]] = float(found() if callable(found) else found)

    def release(self) -> None:
        """Give the gauges back."""
        for metric, labels, index in self._taken:
            self.writer.release_gauge(metric, labels, index)


def _slow_levels(pool: Any, out: int) -> tuple[int, int, int]:
    """Return idle, used and overflow of a pool that has no plain queue."""
    if isinstance(pool, QueuePool):  # with asyncio's queue
        return pool.checkedin(), pool.checkedout(), pool._overflow
    if isinstance(pool, SingletonThreadPool):
        held = len(pool._all_conns)
    elif isinstance(pool, StaticPool):
        held = int("connection" in vars(pool))
    elif isinstance(pool, AssertionPool):
        held = int(pool._conn is not None)
    else:
        held = out
    return max(held - out, 0), out, 0


def _limit(pool: Pool) -> float:
    """Return the most connections that the pool opens."""
    if isinstance(pool, QueuePool):
        is_unlimited = pool._max_overflow < 0 or pool.size() == 0
        return math.inf if is_unlimited else float(pool.size() + pool._max_overflow)
    if isinstance(pool, SingletonThreadPool):
        return float(pool.size)
    return 1.0 if isinstance(pool, (StaticPool, AssertionPool)) else math.inf
