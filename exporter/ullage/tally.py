"""Add up segments: counters over all of them, gauges over live ones."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from operator import add

from ullage import metrics as m
from ullage.metrics import Metric
from ullage.outstanding import Outstanding, counters, outstanding
from ullage.segment import Series, Snapshot
from ullage.segment import layout as at

AGGREGATIONS: dict[str, Callable[[Iterable[float]], float]] = {"sum": sum, "max": max}

# Label values of a series, the role first; its value, or a histogram's cells.
Samples = dict[tuple[str, ...], list[float]]


@dataclass
class _Group:
    """Segments of one role whose tables are the same byte for byte, so that their cells add up as vectors."""

    role: str
    series: tuple[Series, ...]
    cells: list[float] | memoryview[float]
    gauges: list[memoryview[float]] = field(default_factory=list)


class Tally:
    """The totals of one scrape. `samples[metric]` is what to serve."""

    def __init__(self, snapshots: Sequence[Snapshot], now: float) -> None:
        self.samples: dict[Metric, Samples] = {}
        groups = self._group(snapshots)
        for group in groups:
            self._add_group(group)
        for snapshot in snapshots:
            self._add_header(snapshot)
            if len(snapshot.slots):
                self._add_slots(snapshot, now)

    def _group(self, snapshots: Sequence[Snapshot]) -> list[_Group]:
        groups: dict[tuple[str, bytes, bytes], _Group] = {}
        for snapshot in snapshots:
            key = (snapshot.identity.role, snapshot.rows, snapshot.strings)
            cells = counters(snapshot)
            group = groups.get(key)
            if group is None:
                group = groups[key] = _Group(snapshot.identity.role, snapshot.series, cells)
            else:
                group.cells = list(map(add, group.cells, cells))
            if snapshot.is_live:
                group.gauges.append(snapshot.gauges)
        return list(groups.values())

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

    def _add_header(self, snapshot: Snapshot) -> None:
        role = snapshot.identity.role
        self._add(m.SEGMENTS, (role, "live" if snapshot.is_live else "free"), (1.0,))
        self._add(m.SEGMENTS, (role, "free" if snapshot.is_live else "live"), (0.0,))
        for table, word in (
            ("series", at.DROPPED_SERIES),
            ("strings", at.DROPPED_STRINGS),
            ("slots", at.DROPPED_SLOTS),
        ):
            self._add(m.DROPPED, (role, table), (snapshot.header[word],))

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
