"""Add up segments: counters over all of them, gauges over live ones."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from operator import add

from ullage import metrics as m
from ullage.metrics import Metric
from ullage.outstanding import Outstanding, counters, outstanding
from ullage.segment import Series, Snapshot
from ullage.segment import layout as at

AGGREGATIONS: dict[str, Callable[[Iterable[float]], float]] = {"sum": sum, "max": max}

# Label values of a series, the role first; its value, or a histogram's cells.
Samples = dict[tuple[str, ...], list[float]]


class _Group:
    """Segments of one role whose tables are the same byte for byte, so that their cells add up as vectors."""

    def __init__(self, role: str, series: tuple[Series, ...]) -> None:
        self.role = role
        self.series = series
        self.cells: list[float] = []
        self.gauges: list[memoryview[float]] = []
        self.seconds: dict[int, list[float]] = {last: [] for last in map(_seconds_cell, series) if last is not None}

    def add(self, snapshot: Snapshot) -> None:
        cells = counters(snapshot)
        self.cells = list(map(add, self.cells, cells)) if self.cells else cells
        for cell, values in self.seconds.items():
            if cell < len(cells):
                values.append(cells[cell])
        if snapshot.is_live:
            self.gauges.append(snapshot.gauges)


def _seconds_cell(series: Series) -> int | None:
    """Return where a series counts in fractions: a histogram's sum, or a counter of seconds."""
    metric = series.metric
    if metric.kind == "histogram" or (metric.kind == "counter" and metric.name.endswith("_seconds_total")):
        return series.cell - at.CELLS + metric.width - 1
    return None


class Tally:
    """The totals of one scrape. `samples[metric]` is what to serve."""

    def __init__(self, snapshots: Iterable[Snapshot], now: float) -> None:
        self.samples: dict[Metric, Samples] = {}
        # Every process's seconds of a series. Added up in another order they could come to less than at the last
        # scrape, by the last bit, which Prometheus takes for a reset: so they are added up exactly, and at the end.
        self._seconds: dict[tuple[Metric, tuple[str, ...]], list[float]] = {}
        groups: dict[tuple[str, bytes, bytes], _Group] = {}
        # Per role: live, free, and the header words of DROPPED.
        headers: dict[str, list[float]] = {}
        for snapshot in snapshots:
            key = (snapshot.identity.role, snapshot.rows, snapshot.strings)
            if key not in groups:
                groups[key] = _Group(snapshot.identity.role, snapshot.series)
            groups[key].add(snapshot)
            known = headers.setdefault(snapshot.identity.role, [0.0] * 5)
            counts = (
                snapshot.is_live,
                not snapshot.is_live,
                *snapshot.header[at.DROPPED_SERIES : at.DROPPED_SLOTS + 1],
            )
            headers[snapshot.identity.role] = list(map(add, known, counts))
            if len(snapshot.slots):
                self._add_slots(snapshot, now)
        for group in groups.values():
            self._add_group(group)
        for (metric, labels), values in self._seconds.items():
            self.samples[metric][labels][-1] = math.fsum(values)
        for role, (live, free, *dropped) in headers.items():
            self.samples.setdefault(m.SEGMENTS, {}).update({(role, "live"): [live], (role, "free"): [free]})
            for table, count in zip(("series", "strings", "slots"), dropped, strict=True):
                self._add(m.DROPPED, (role, table), (count,))

    def _add_group(self, group: _Group) -> None:
        for series in group.series:
            metric, labels = series.metric, (group.role, *series.labels)
            if metric.kind == "gauge":
                index = series.cell - at.GAUGES
                self._add_gauge(metric, labels, [gauges[index] for gauges in group.gauges if index < len(gauges)])
                continue
            start = series.cell - at.CELLS
            values = group.cells[start : start + metric.width]
            if len(values) == metric.width:
                self._add(metric, labels, values)
                last = start + metric.width - 1
                if last in group.seconds:
                    self._seconds.setdefault((metric, labels), []).extend(group.seconds[last])

    def _add_gauge(self, metric: Metric, labels: tuple[str, ...], values: list[float]) -> None:
        values = [value for value in values if not math.isnan(value)]
        if metric is m.PROBE_UP and not values:
            values = [0.0]  # the process is gone: no value, but the alert wants a series
        if values:
            samples = self.samples.setdefault(metric, {})
            values += samples.get(labels, [])
            samples[labels] = [AGGREGATIONS[metric.aggregation](values)]

    def _add(self, metric: Metric, labels: tuple[str, ...], values: Sequence[float]) -> None:
        samples = self.samples.setdefault(metric, {})
        known = samples.get(labels)
        samples[labels] = list(values) if known is None else list(map(add, known, values))

    def _add_slots(self, snapshot: Snapshot, now: float) -> None:
        role = snapshot.identity.role
        for found in outstanding(snapshot, now):
            if found.uncounted:
                self._add_leak(role, found)
            if not snapshot.is_live:
                continue
            engine = (role, found.engine)
            if found.is_waiting:
                self._add(m.WAITING, engine, (1.0,))
                continue
            self._add_gauge(m.OLDEST_CHECKOUT, engine, [max(now - found.started, 0.0)])
            if found.is_unreleased:
                self._add(m.UNRELEASED_NOW, (*engine, found.function, found.site), (1.0,))

    def _add_leak(self, role: str, found: Outstanding) -> None:
        kind = found.uncounted or ""
        labels = (role, found.engine, found.queue, found.function, found.site, kind, found.level)
        if found.level != "lingering":
            self._add(m.LEAKS_TOTAL, (role, kind), (1.0,))
        self._add(m.UNRELEASED_TOTAL, labels, (1.0,))

    def complete(self) -> None:
        """Give every engine with a live pool a 0 where nothing waits and nothing is out."""
        for labels in self.samples.get(m.POOLS, {}):
            for metric in (m.WAITING, m.OLDEST_CHECKOUT):
                self.samples.setdefault(metric, {}).setdefault(labels, [0.0])
