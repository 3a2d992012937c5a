"""The project's alerts that fire, as a query and as a table."""

from __future__ import annotations

from typing import Any

from chart.monitoring.builders.names import ALERTS, RUNBOOK_LINK
from chart.monitoring.builders.palette import ORANGE, RED
from chart.monitoring.builders.panels import About, Column, Query, grid, word

_SEVERITIES = (word("critical", "critical", RED), word("warning", "warning", ORANGE))


def firing() -> str:
    """Return the query for the alerts that fire. By namespace alone: an alert keeps no instance, one of them no job."""
    return f'ALERTS{{alertstate="firing",alertname=~"{"|".join(ALERTS)}",namespace=~"$namespace"}}'


def alerts_table(width: int, height: int) -> Any:
    """Return the table of the alerts that fire; each leads to its runbook."""
    return grid(
        About(
            "Firing alerts",
            "The alerts of this chart that fire now, and for how many sets of labels. An alert's name leads to its "
            "runbook.",
            width,
            height,
        ),
        [Query(f"count by (alertname, severity, namespace, job, role, queue, function) ({firing()})")],
        [
            Column("severity", "Severity", mappings=_SEVERITIES, width=90),
            Column("alertname", "Alert", link=f"{RUNBOOK_LINK}${{__value.raw}}.md", width=260),
            Column("namespace", "Namespace"),
            Column("job", "Job"),
            Column("role", "Role"),
            Column("queue", "Queue"),
            Column("function", "Function"),
            Column("Value", "Count", "short", width=80),
        ],
        "Severity",
        descending=False,  # critical before warning
    )
