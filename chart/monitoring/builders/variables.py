"""The variables of every dashboard: which Prometheus, and which of its series."""

from __future__ import annotations

from chart.monitoring.builders.names import RUNBOOKS
from chart.monitoring.builders.promql import SCOPE
from chart.monitoring.builders.sdk import common_models, dashboard, models

DATASOURCE = common_models.DataSourceRef(type_val="prometheus", uid="${datasource}")
ALL = models.VariableOption(selected=True, text="All", value="$__all")


def scope() -> list[object]:
    """Return the variables that every selector uses, each narrowing those after it."""
    return [
        dashboard.DatasourceVariable("datasource")
        .label("Data source")
        .description("The Prometheus that scrapes the sidecars and the observer.")
        .type("prometheus"),
        _choice("namespace", "Namespace", "ullage_up", ".*", "Namespaces with a release of the chart."),
        _choice("release", "Release", 'ullage_up{namespace=~"$namespace"}', ".*", "Helm releases.", _RELEASE),
        _choice("job", "Job", f"ullage_up{{{_up_to(2)}}}", ".+", "Prometheus' scrape jobs, one a release."),
        _choice("instance", "Instance", f"ullage_up{{{_up_to(3)}}}", ".+", "Sidecars, one a pod, and the observer."),
        dashboard.ConstantVariable("runbooks")
        .label("Runbooks")
        .description("What comes before an alert's name in the links to its runbook.")
        .value(RUNBOOKS),
    ]


def choice(name: str, label: str, metric: str, description: str) -> object:
    """Return a variable with the values that a label has within the scope."""
    return _choice(name, label, f"{metric}{{{SCOPE}}}", ".*", description)


_RELEASE = "app_kubernetes_io_instance"


def _up_to(count: int) -> str:
    return ",".join(SCOPE.split(",")[:count])


def _choice(name: str, label: str, series: str, all_value: str, description: str, source: str = "") -> object:
    query = f"label_values({series}, {source or name})"
    return (
        dashboard.QueryVariable(name)
        .label(label)
        .description(description)
        .datasource(DATASOURCE)
        .query(query)
        .definition(query)
        .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(models.VariableSort.ALPHABETICAL_ASC)
        .multi(True)
        .include_all(True)
        .all_value(all_value)
        .current(ALL)
    )
