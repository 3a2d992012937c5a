"""What one look at a source gave: its samples, how long it took, and what went wrong, if anything."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from ullage.metrics import Metric
from ullage.tally import Samples


@dataclass(frozen=True)
class Reading:
    """One look at a source; `error` is one line for people, without any secret."""

    seconds: float
    samples: Mapping[Metric, Samples] = field(default_factory=dict)
    error: str | None = None


class Source(Protocol):
    """What the observer collects from; called from several threads at once."""

    def readings(self) -> Mapping[str, Reading]:
        """Return a reading by name, the value of the label `collector`; raise nothing."""
        ...
