"""What is marked on every graph: rollouts, started pods, and firing alerts."""

from __future__ import annotations

from chart.monitoring.builders.alerts import firing
from chart.monitoring.builders.palette import BLUE, GRAY, RED
from chart.monitoring.builders.promql import select
from chart.monitoring.builders.sdk import dashboard
from chart.monitoring.builders.variables import DATASOURCE


def marks() -> list[object]:
    """Return the annotations of a dashboard."""
    up = select("ullage_up")
    return [
        _annotation(
            "Rollouts",
            BLUE,
            'sum by (namespace, deployment) (changes(kube_deployment_status_observed_generation{namespace=~"$namespace"'
            ',deployment=~"($release).*"}[$__rate_interval])) > 0',
            "Rollout of {{namespace}}/{{deployment}}",
        ),
        _annotation(
            "Started pods",
            GRAY,
            f"count by (job, app_kubernetes_io_component) ({up} unless {up} offset $__rate_interval)",
            "New pods: {{job}} {{app_kubernetes_io_component}}",
        ),
        _annotation("Alerts", RED, firing(), "{{alertname}} ({{severity}})"),
    ]


def _annotation(name: str, color: str, expr: str, title: str) -> object:
    return (
        dashboard.AnnotationQuery()
        .name(name)
        .datasource(DATASOURCE)
        .enable(True)
        .icon_color(color)
        .expr(expr)
        .title_format(title)
    )
