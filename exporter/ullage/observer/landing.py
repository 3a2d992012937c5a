"""The observer's pages: /metrics, /healthz, and a landing page that says what it reads and whether it can."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ullage.observer.budget import Budget
from ullage.observer.collector import Observer
from ullage.pages import Page, Site, landing, table


class ObserverPages(Site):
    """Answers a path from the observer; `reads` names its sources."""

    def __init__(self, observer: Observer, budget: Budget, reads: Sequence[str]) -> None:
        super().__init__(observer, ", ".join(reads) or "nothing", {"/": self._landing})
        self._observer = observer
        self._budget = budget

    def _landing(self, _environ: dict[str, str]) -> Page:
        states = {name: reading.error or "ok" for name, reading in self._observer.readings().items()}
        connections: dict[str, object] = {**self._budget.connections}
        limit: Mapping[str, object] = {} if self._budget.limit is None else {"the database accepts": self._budget.limit}
        return landing(
            "The observer: queues, the connection budget, and Events on leaking pods, for the whole release.",
            {"/metrics": " for Prometheus", "/healthz": ""},
            {"Sources": table(states), "Connections at most": table(connections | dict(limit))},
        )
