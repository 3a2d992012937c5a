"""prometheus_client's multiprocess mode, at the same work: a pool's series, and files of the same series.

PROMETHEUS_MULTIPROC_DIR must be set before this is imported.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from time import perf_counter
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest, values
from prometheus_client.multiprocess import MultiProcessCollector
from sqlalchemy import event
from sqlalchemy.engine import Engine
from sqlalchemy.pool import Pool

from ullage.metrics import POOL_CHECKOUTS, POOL_CONNECTIONS, POOL_USE, POOL_WAIT, Metric
from ullage.segment import Series


class PoolMetrics:
    """Checkouts, waits and uses of one engine's pool, the straightforward way: two listeners and a wrapped connect.

    With levels, the idle and used connections too, which ullage's probe stores at the same moments.
    """

    def __init__(self, engine: Engine, *, with_levels: bool) -> None:
        registry = CollectorRegistry()
        connections = _make(POOL_CONNECTIONS, registry)
        self._idle, self._used = (connections.labels("shop", state) for state in ("idle", "used"))
        self._sample = self._sample_levels if with_levels else _sample_nothing
        self._engine = engine
        self._checkouts = _make(POOL_CHECKOUTS, registry).labels("shop")
        self._wait = _make(POOL_WAIT, registry).labels("shop")
        self._use = _make(POOL_USE, registry).labels("shop")
        self._original = Pool.connect
        self._connect = self._wrap(self._original)

    def on(self) -> None:
        """Start to measure."""
        event.listen(self._engine, "checkout", self._checked_out)
        event.listen(self._engine, "checkin", self._checked_in)
        Pool.connect = self._connect

    def off(self) -> None:
        """Stop."""
        event.remove(self._engine, "checkout", self._checked_out)
        event.remove(self._engine, "checkin", self._checked_in)
        Pool.connect = self._original

    def _wrap(self, original: Callable[[Pool], Any]) -> Callable[[Pool], Any]:
        wait = self._wait

        def connect(self: Pool) -> Any:
            started = perf_counter()
            try:
                return original(self)
            finally:
                wait.observe(perf_counter() - started)

        return connect

    def _checked_out(self, connection: Any, record: Any, fairy: Any) -> None:
        self._checkouts.inc()
        record.info["started"] = perf_counter()
        self._sample()

    def _checked_in(self, connection: Any, record: Any) -> None:
        self._use.observe(perf_counter() - record.info.pop("started"))
        self._sample()

    def _sample_levels(self) -> None:
        pool = self._engine.pool
        self._idle.set(pool.checkedin())
        self._used.set(pool.checkedout())


def _sample_nothing() -> None:
    pass


def _make(metric: Metric, registry: CollectorRegistry) -> Any:
    if metric.kind == "histogram":
        return Histogram(metric.name, metric.help, metric.labels, registry=registry, buckets=metric.buckets)
    if metric.kind == "gauge":
        mode = "livemax" if metric.aggregation == "max" else "livesum"
        return Gauge(metric.name, metric.help, metric.labels, registry=registry, multiprocess_mode=mode)
    return Counter(metric.name, metric.help, metric.labels, registry=registry)


def write_files(processes: int, series: Iterable[Series]) -> None:
    """Write what that many processes with these series would have written."""
    series = list(series)
    original = values.ValueClass
    for number in range(processes):
        # A metric's values go to the files of the process that this class was made for.
        values.ValueClass = values.MultiProcessValue(lambda pid=number + 1: pid)
        registry = CollectorRegistry()
        made: dict[Metric, Any] = {}
        for one in series:
            metric = made.get(one.metric) or made.setdefault(one.metric, _make(one.metric, registry))
            cell = metric.labels(*one.labels) if one.labels else metric
            cell.observe(0.02) if one.metric.kind == "histogram" else cell.inc()
    values.ValueClass = original


def scrape() -> bytes:
    """Do what a /metrics page of that mode does."""
    registry = CollectorRegistry()
    MultiProcessCollector(registry, os.environ["PROMETHEUS_MULTIPROC_DIR"])
    return bytes(generate_latest(registry))
