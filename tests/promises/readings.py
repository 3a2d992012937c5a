"""What the collector serves, as plain numbers, and a watch that says whether any counter ever fell."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from prometheus_client.core import Metric as Family

from ullage.collector import Collector, Reading
from ullage.metrics import BY_NAME
from ullage.tally import Tally

Key = tuple[str, frozenset[tuple[str, str]]]


def samples_of(families: Iterable[Family], kinds: tuple[str, ...] = ("counter", "gauge", "histogram")) -> dict:
    """Return every sample of the kinds by its name and labels."""
    found = {}
    for family in families:
        if family.type in kinds:
            for sample in family.samples:
                found[sample.name, frozenset(sample.labels.items())] = sample.value
    return found


@dataclass
class Page:
    """The samples of one scrape."""

    samples: dict[Key, float]

    @classmethod
    def read(cls, directory: Path) -> Page:
        """Scrape a segment directory."""
        return cls(samples_of(Collector(directory).collect()))

    def total(self, name: str, **labels: str) -> float:
        """Add up the samples of this name that carry the labels."""
        return sum(
            value for (found, given), value in self.samples.items() if found == name and labels.items() <= set(given)
        )

    def by(self, name: str, label: str, **labels: str) -> dict[str, float]:
        """Add up the samples of this name by the values of one label, leaving out those that are 0."""
        values = {dict(given)[label] for found, given in self.samples if found == name}
        totals = {value: self.total(name, **{label: value}, **labels) for value in values}
        return {value: total for value, total in totals.items() if total}


@dataclass
class Watch:
    """Compare each scrape with the one before; `falls` has every counter that fell or vanished."""

    seen: int = 0
    falls: list[str] = field(default_factory=list)
    _last: dict[Any, Any] = field(default_factory=dict)

    def see(self, families: Iterable[Family]) -> None:
        """Compare one scrape."""
        now = samples_of(families, ("counter", "histogram"))
        for key, before in self._last.items():
            if now.get(key, -1.0) < before:
                self.falls.append(f"{key[0]}{dict(key[1])}: {before} -> {now.get(key, 'gone')}")
        self._last = now
        self.seen += 1


def cells_of(directory: Path, now: float) -> tuple[dict[tuple[str, ...], list[float]], dict[str, int]]:
    """Return the cells of every counter and histogram by name and labels, and what was unreadable; the fast way."""
    reading = Reading(directory)
    tally = Tally(reading, now)
    cells = {
        (metric.name, *labels): values
        for metric, samples in tally.samples.items()
        if metric.kind != "gauge"
        for labels, values in samples.items()
    }
    return cells, reading.unreadable


def sum_of(cells: dict[tuple[str, ...], list[float]], name: str) -> float:
    """Add up a counter over its labels, or a histogram's count."""
    is_histogram = BY_NAME[name].kind == "histogram"
    return sum(sum(values[:-1]) if is_histogram else values[0] for key, values in cells.items() if key[0] == name)
