"""The connection budget: what each component may open at most, and what the database accepts, both from the chart."""

from __future__ import annotations

from collections.abc import Mapping

from ullage import metrics as m
from ullage.observer.reading import Reading
from ullage.tally import Samples


class Budget:
    """Serves the budget as it was given; it changes with the chart's values, and so with a restart."""

    def __init__(self, connections: Mapping[str, int], limit: int | None) -> None:
        budget: Samples = {(component,): [float(count)] for component, count in connections.items()}
        self.connections = dict(connections)
        self.limit = limit
        limits: Samples = {} if limit is None else {(): [float(limit)]}
        self._samples = {m.BUDGET: budget, m.LIMIT: limits}

    def readings(self) -> Mapping[str, Reading]:
        """Return the budget."""
        return {"budget": Reading(0.0, self._samples)}
