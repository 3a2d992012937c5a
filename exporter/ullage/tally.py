"""Add up segments: counters over all of them, gauges over live ones."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import repeat
from operator import add, itemgetter

from ullage import metrics as m
from ullage.metrics import Metric
from ullage.outstanding import Outstanding, counters, outstanding
from ullage.segment import Series, Snapshot
from ullage.segment import layout as at
from ullage.segment.layout import parse_series

AGGREGATIONS: dict[str, Callable[[Iterable[float]], float]] = {"sum": sum, "max": max}

# Label values of a series, the role first; its value, or a histogram's cells.
Samples = dict[tuple[str, ...], list[float]]


# A series' metric and labels, the role first.
_Key = tuple[Metric, tuple[str, ...]]
_Getter = Callable[[Sequence[float]], Sequence[float]]
# Segments that are added up at once: the memory for more would buy no speed.
_BATCH = 16


@lru_cache(maxsize=4096)
def _key(metric: Metric, labels: tuple[str, ...]) -> _Key:
    """Return one and the same key for a series, whatever the segment: the tables that name it are kept."""
    return metric, labels


class _Table:
    """The series of one or more segments, with where each stands. Equal to itself alone, and so cheap as a key."""

    def __init__(self, role: str, series: tuple[Series, ...]) -> None:
        keyed = [(_key(found.metric, (role, *found.labels)), found.cell) for found in series]
        self.counters = [(key, cell - at.CELLS) for key, cell in keyed if key[0].kind != "gauge"]
        self.gauges = [(key, cell - at.GAUGES) for key, cell in keyed if key[0].kind == "gauge"]
        self.cells = max((start + metric.width for (metric, _), start in self.counters), default=0)
        self.levels = max((index + 1 for _, index in self.gauges), default=0)


# A thousand processes name their series in a thousand orders; what is kept of each is some tens of KiB.
@lru_cache(maxsize=2048)
def _table(role: str, strings: bytes, rows: bytes) -> _Table:
    return _Table(role, parse_series(strings, rows))


class _Plan:
    """The order in which the cells of a set of tables are added up, and each table's cells in that order.

    Processes of one kind have the same series in different orders, by which came first. Put into one order they add up
    as vectors, which costs a tenth of adding up series by series.
    """

    def __init__(self, tables: frozenset[_Table]) -> None:
        self.keys = list(dict.fromkeys(key for table in tables for key, _ in table.counters))
        self.starts: dict[_Key, int] = {}
        width = 0
        for key in self.keys:
            self.starts[key] = width
            width += key[0].width
        self.width = width
        # Where fractions are counted: they are added up exactly, see `Tally`.
        self.seconds = [self.starts[key] + key[0].width - 1 for key in self.keys if _counts_seconds(key[0])]
        self.seconds_of: _Getter = itemgetter(*self.seconds, width, width)
        # A key for each of the gauges, which several pools of one process may share.
        gauges: Counter[_Key] = Counter()
        for table in tables:
            gauges |= Counter(key for key, _ in table.gauges)
        self.gauges = list(gauges.elements())
        self._getters = {table: self._getter(table, width) for table in tables}
        self._level_getters = {table: self._level_getter(table) for table in tables}

    def _getter(self, table: _Table, width: int) -> list[_Getter]:
        """Return what picks a table's cells in the plan's order; more than one where a series has two rows."""
        layers: list[list[int]] = []
        for key, start in table.counters:
            first = self.starts[key]
            layer = next((found for found in layers if found[first] < 0), None)
            if layer is None:
                layer = [-1] * width  # the zero that is appended to the cells
                layers.append(layer)
            layer[first : first + key[0].width] = range(start, start + key[0].width)
        return [itemgetter(*layer, -1, -1) for layer in layers]

    def _level_getter(self, table: _Table) -> _Getter:
        left: dict[_Key, list[int]] = {}
        for key, index in table.gauges:
            left.setdefault(key, []).append(index)
        return itemgetter(*(left[key].pop() if left.get(key) else -1 for key in self.gauges), -1, -1)

    def rows(self, table: _Table, cells: list[float]) -> Iterator[Sequence[float]]:
        """Yield a segment's cells in the plan's order; zeros follow, as itemgetter returns no sequence of one item."""
        cells += (0.0,) * (max(table.cells - len(cells), 0) + 1)
        for getter in self._getters[table]:
            yield getter(cells)

    def levels(self, table: _Table, gauges: memoryview[float]) -> Sequence[float]:
        """Return a segment's gauges in the plan's order; NaN stands for what it does not have, and follows."""
        values: list[float] = gauges.tolist()  # type: ignore[assignment]
        values += (math.nan,) * (max(table.levels - len(values), 0) + 1)
        return self._level_getters[table](values)


@lru_cache(maxsize=16)
def _plan(tables: frozenset[_Table]) -> _Plan:
    return _Plan(tables)


def _counts_seconds(metric: Metric) -> bool:
    return metric.kind == "histogram" or metric.name.endswith("_seconds_total")


class Tally:
    """The totals of one scrape. `samples[metric]` is what to serve."""

    def __init__(self, snapshots: Iterable[Snapshot], now: float) -> None:
        self.samples: dict[Metric, Samples] = {}
        segments: dict[str, list[tuple[_Table, Snapshot]]] = {}
        # Per role: live, free, and the header words of DROPPED.
        headers: dict[str, list[float]] = {}
        for snapshot in snapshots:
            role = snapshot.identity.role
            table = _table(role, snapshot.strings, snapshot.rows)
            segments.setdefault(role, []).append((table, snapshot))
            counts = (
                snapshot.is_live,
                not snapshot.is_live,
                *snapshot.header[at.DROPPED_SERIES : at.DROPPED_SLOTS + 1],
            )
            headers[role] = list(map(add, headers.get(role, [0.0] * 5), counts))
            if len(snapshot.slots):
                self._add_slots(snapshot, now)
        for found in segments.values():
            plan = _plan(frozenset(table for table, _ in found))
            self._add_counters(plan, found)
            self._add_gauges(plan, found)
        self._add_headers(headers)

    def _add_counters(self, plan: _Plan, segments: list[tuple[_Table, Snapshot]]) -> None:
        """Add up the counters and histograms of one role."""
        totals: Sequence[float] = [0.0] * (plan.width + 2)
        seconds: list[Sequence[float]] = []
        for first in range(0, len(segments), _BATCH):
            batch = segments[first : first + _BATCH]
            rows = [row for table, snapshot in batch for row in plan.rows(table, counters(snapshot))]
            seconds += map(plan.seconds_of, rows)
            totals = list(map(sum, zip(totals, *rows, strict=True)))
        # In another order fractions could come to less than at the last scrape, by the last bit, which Prometheus takes
        # for a reset: so they are added up exactly.
        exactly = dict(zip(plan.seconds, map(math.fsum, zip(*seconds, strict=True)), strict=False))
        for key in plan.keys:
            start = plan.starts[key]
            values = list(totals[start : start + key[0].width])
            values[-1] = exactly.get(start + key[0].width - 1, values[-1])
            self._add(*key, values)

    def _add_gauges(self, plan: _Plan, segments: list[tuple[_Table, Snapshot]]) -> None:
        """Combine the gauges of the live processes of one role; those of dead ones alone have no values."""
        rows = [plan.levels(table, snapshot.gauges) for table, snapshot in segments if snapshot.is_live]
        columns = zip(*rows, strict=True) if rows else repeat(())
        gauges: dict[_Key, list[float]] = {}
        for key, values in zip(plan.gauges, columns, strict=False):
            gauges.setdefault(key, []).extend(values)
        for (metric, labels), found in gauges.items():
            self._add_gauge(metric, labels, found)

    def _add_headers(self, headers: dict[str, list[float]]) -> None:
        for role, (live, free, *dropped) in headers.items():
            self.samples.setdefault(m.SEGMENTS, {}).update({(role, "live"): [live], (role, "free"): [free]})
            for table, count in zip(("series", "strings", "slots"), dropped, strict=True):
                self._add(m.DROPPED, (role, table), (count,))

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
