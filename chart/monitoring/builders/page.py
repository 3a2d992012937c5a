"""A dashboard: its rows of panels, its variables, and what all of them have in common."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from chart.monitoring.builders.events import marks
from chart.monitoring.builders.sdk import JSONEncoder, dashboard, models
from chart.monitoring.builders.variables import scope

TAG = "ullage"


@dataclass(frozen=True)
class Page:
    """One dashboard: `name` is its file's; `ullage-` and `key` its uid, which never changes: alerts link to it."""

    name: str
    key: str
    title: str
    description: str
    rows: Sequence[tuple[str, Sequence[Any]]]
    variables: Sequence[Any] = field(default_factory=tuple)

    def build(self) -> dict[str, Any]:
        """Return the dashboard as Grafana's JSON."""
        page = (
            dashboard.Dashboard(f"ullage / {self.title}")
            .uid(f"ullage-{self.key}")
            .description(self.description)
            .tags([TAG])
            .readonly()
            .time("now-1h", "now")
            .refresh("30s")
            .timezone("browser")
            .tooltip(models.DashboardCursorSync.CROSSHAIR)
            .variables([*scope(), *self.variables])
            .annotations(marks())
            .link(_others())
        )
        for title, panels in self.rows:
            page = page.with_row(dashboard.Row(title))
            for panel in panels:
                page = page.with_panel(panel)
        built: dict[str, Any] = json.loads(json.dumps(page.build(), cls=JSONEncoder))
        # Grafana gives ids by itself, but new ones at each import, which breaks links to a panel.
        for number, panel in enumerate(built["panels"], 1):
            panel["id"] = number
        return built


def _others() -> Any:
    link = dashboard.DashboardLink("ullage").type(models.DashboardLinkType.DASHBOARDS).tags([TAG])
    return link.as_dropdown(True).include_vars(True).keep_time(True)
