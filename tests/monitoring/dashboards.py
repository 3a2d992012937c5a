"""The dashboards as they are checked in, and their queries as Grafana would send them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chart.monitoring.builders.names import RUNBOOK_LINK

DIRECTORY = Path(__file__).parents[2] / "chart" / "monitoring" / "dashboards"
NAMES = ("overview", "pools", "workers-and-leaks", "http-and-proxies", "exporter")

Json = dict[str, Any]


@dataclass(frozen=True)
class Window:
    """A time range, and the steps in which it is asked for."""

    start: float
    end: float
    step: int = 1
    scrape_interval: int = 1

    @property
    def seconds(self) -> int:
        """The length of the range, as Grafana rounds it."""
        return max(int(self.end - self.start), 1)

    @property
    def rate_interval(self) -> int:
        """What Grafana puts for $__rate_interval."""
        return max(self.step + self.scrape_interval, 4 * self.scrape_interval)


def load(name: str) -> Json:
    """Return a dashboard."""
    loaded: Json = json.loads((DIRECTORY / f"{name}.json").read_text())
    return loaded


def panels_of(dashboard: Json) -> list[Json]:
    """Return the panels that show something: all but the rows."""
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def variables_of(dashboard: Json) -> list[Json]:
    """Return the dashboard's variables."""
    variables: list[Json] = dashboard["templating"]["list"]
    return variables


def targets_of(dashboard: Json) -> Iterator[tuple[Json, Json]]:
    """Yield each panel with each of its queries."""
    for panel in panels_of(dashboard):
        for target in panel["targets"]:
            yield panel, target


def runbooks_of(panel: Json) -> set[str]:
    """Return the alerts whose runbooks a panel links to."""
    urls = [link["url"] for link in panel.get("links", ())]
    return {url.removeprefix(RUNBOOK_LINK).removesuffix(".md") for url in urls if url.startswith(RUNBOOK_LINK)}


def expand(text: str, dashboard: Json, window: Window | None = None) -> str:
    """Replace the variables: every choice at `All`, and the intervals as Grafana would."""
    window = window or Window(0, 300)
    values = {variable["name"]: variable.get("allValue", variable["query"]) for variable in variables_of(dashboard)}
    values |= {
        "__rate_interval": f"{window.rate_interval}s",
        "__range": f"{window.seconds}s",
        "__interval": f"{window.step}s",
    }

    def value(found: re.Match[str]) -> str:
        # Of what is no variable, such as a group in label_replace(), Grafana leaves its hands.
        return values.get(found[1] or found[2], found[0])

    return re.sub(r"\$(?:\{(\w+)\}|(\w+))", value, text)


def metrics_in(expr: str) -> set[str]:
    """Return the names that have a selector in an expression."""
    return set(re.findall(r"([a-zA-Z_:][\w:]*)\{", expr))
