"""The dashboards: as their builders make them, of metrics that there are, with a panel for every alert."""

from __future__ import annotations

import json
import re
import shutil
import tarfile
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import helm_python
import pytest
import yaml

from chart.monitoring.builders.names import ALERTS, RUNBOOKS
from tests.monitoring.dashboards import (
    DIRECTORY,
    NAMES,
    Json,
    expand,
    load,
    metrics_in,
    panels_of,
    runbooks_of,
    targets_of,
)
from tests.monitoring.promql import grouped_by, matchers, selectors
from ullage.metrics import BY_NAME, WITHOUT_ROLE

CHART = DIRECTORY.parents[1]
RULES = CHART / "monitoring" / "rules"
TEMPLATE = "dashboards.yaml"
# What Prometheus puts on the series of a target, by the chart's PodMonitor.
TARGET = {
    *("namespace", "pod", "container", "job", "instance"),
    *("app_kubernetes_io_instance", "app_kubernetes_io_component"),
}
# Prometheus' own series.
OWN = {"up", "scrape_duration_seconds", "scrape_samples_scraped"}
PANELS = {"stat", "timeseries", "table", "heatmap"}
# Kubernetes' limit for the data of a ConfigMap.
CONFIGMAP_BYTES = 1024 * 1024


@pytest.fixture(params=NAMES)
def dashboard(request: pytest.FixtureRequest) -> Json:
    """Give each dashboard."""
    return load(request.param)


def _labels_of(metric: str) -> set[str]:
    """Return the labels that a metric's series can have."""
    if metric in OWN:
        return TARGET
    base = metric if metric in BY_NAME else re.sub(r"_(bucket|count|sum)$", "", metric)
    known = BY_NAME[base]
    own = set(known.labels) if base in WITHOUT_ROLE else {"role", *known.labels}
    return own | TARGET | ({"le"} if metric.endswith("_bucket") else set())


class TestFiles:
    def test_are_what_the_builders_make(self):
        """Each file is what `python -m chart.monitoring.builders` writes, and there is no other."""
        pytest.importorskip("grafana_foundation_sdk", reason="the dashboards' builders need Python 3.11")
        from chart.monitoring.builders.catalog import render_all

        found = {path.stem: path.read_text() for path in DIRECTORY.glob("*.json")}
        assert set(found) == set(NAMES)
        assert found == render_all()

    def test_have_the_current_schema(self, dashboard):
        """Grafana migrates nothing: schema 42, and only panels that it has without Angular."""
        assert dashboard["schemaVersion"] == 42
        assert {panel["type"] for panel in panels_of(dashboard)} <= PANELS

    def test_have_a_place_in_grafana(self):
        """Each has an address of its own, which the alerts link to, and the tag by which they link to each other."""
        built = [load(name) for name in NAMES]
        assert [one["uid"] for one in built] == [
            f"ullage-{key}" for key in ("overview", "pools", "workers", "http", "exporter")
        ]
        for one in built:
            assert one["tags"] == ["ullage"]
            assert one["links"][0]["tags"] == one["tags"]

    def test_panels_fill_the_grid(self, dashboard):
        """No panel overlaps another, and no row has a hole."""
        taken: dict[tuple[int, int], int] = {}
        for panel in dashboard["panels"]:
            place = panel["gridPos"]
            for x in range(place["x"], place["x"] + place["w"]):
                for y in range(place["y"], place["y"] + place["h"]):
                    assert (x, y) not in taken, panel["title"]
                    taken[x, y] = panel["id"]
        width, height = (max(cell[axis] for cell in taken) + 1 for axis in (0, 1))
        assert (width, len(taken)) == (24, 24 * height)

    def test_panels_have_ids(self, dashboard):
        """A link to a panel keeps its meaning: ids are given here, in order, and not by Grafana."""
        assert all(one["id"] + 1 == other["id"] for one, other in pairwise(dashboard["panels"]))

    def test_tables_are_sorted(self, dashboard):
        """Every table is sorted by one of its columns."""
        for panel in panels_of(dashboard):
            if panel["type"] == "table":
                (sort,) = panel["options"]["sortBy"]
                columns = [override["matcher"]["options"] for override in panel["fieldConfig"]["overrides"]]
                assert sort["displayName"] in columns

    def test_mark_deploys_and_alerts(self, dashboard):
        """Rollouts, started pods and firing alerts are marked on every graph."""
        marks = dashboard["annotations"]["list"]
        assert [mark["name"] for mark in marks] == ["Rollouts", "Started pods", "Alerts"]
        assert all(mark["enable"] and mark["datasource"]["uid"] == "${datasource}" for mark in marks)
        for mark in marks:
            assert list(selectors(expand(mark["expr"], dashboard)))


class TestQueries:
    def test_name_metrics_that_there_are(self, dashboard):
        """Every series is one of ullage's, Prometheus' own, or an alert's, and has the labels that it is asked for."""
        for panel, target in targets_of(dashboard):
            query = expand(target["expr"], dashboard)
            labels: set[str] = {"class"} if "label_replace(" in query else set()
            for place in selectors(query):
                if place.node.name == "ALERTS":
                    labels |= {"alertname", "severity", "namespace", "job", "role", "queue", "function"}
                    continue
                asked, known = set(matchers(place.node)), _labels_of(place.node.name)
                assert asked <= known, f"{panel['title']}: {place.node.name} has no {asked - known}"
                labels |= known
            assert grouped_by(query) <= labels, panel["title"]

    def test_legends_name_labels_that_are_left(self, dashboard):
        """Every label in a legend is one that the query's aggregations keep."""
        for panel, target in targets_of(dashboard):
            named = set(re.findall(r"{{(\w+)}}", target.get("legendFormat", "")))
            assert named <= grouped_by(expand(target["expr"], dashboard)), panel["title"]


def _rules() -> Iterator[dict[str, Any]]:
    for path in RULES.glob("*.yaml"):
        loaded = yaml.safe_load(path.read_text())
        yield from [*loaded.get("record", ()), *loaded["alerts"]]


def _causes(alert: dict[str, Any]) -> set[str]:
    """Return the metrics that an alert looks at, those of the recorded series that it uses included."""
    recorded = {rule["record"].removesuffix("$window"): rule for rule in _rules() if "record" in rule}
    found: set[str] = set()
    for name in metrics_in(alert["expr"]):
        rule = next((rule for prefix, rule in recorded.items() if name.startswith(prefix)), None)
        found |= metrics_in(rule.get("expr") or rule["increase"]) if rule else {name}
    return {re.sub(r"_(bucket|count|sum)$", "", name) for name in found}


ALERT_RULES = [pytest.param(rule, id=rule["alert"]) for rule in _rules() if "alert" in rule]


class TestAlerts:
    def test_are_known(self):
        """The dashboards know every alert of the chart, and no other."""
        assert sorted(rule["alert"] for rule in _rules() if "alert" in rule) == sorted(ALERTS)

    @pytest.mark.parametrize("alert", ALERT_RULES)
    def test_lead_to_a_panel(self, alert):
        """On the dashboard that an alert links to, a panel leads to its runbook and shows a metric that it looks at."""
        (dashboard,) = (one for one in map(load, NAMES) if one["uid"] == f"ullage-{alert['dashboard']}")
        panels = [panel for panel in panels_of(dashboard) if alert["alert"] in runbooks_of(panel)]
        assert panels
        shown = {name for panel in panels for target in panel["targets"] for name in metrics_in(target["expr"])}
        assert {re.sub(r"_(bucket|count|sum)$", "", name) for name in shown} & _causes(alert)

    def test_runbooks_are_of_alerts(self, dashboard):
        """No panel leads to the runbook of an alert that there is not."""
        for panel in panels_of(dashboard):
            assert runbooks_of(panel) <= set(ALERTS), panel["title"]


@pytest.fixture(scope="module")
def chart(tmp_path_factory: pytest.TempPathFactory) -> Iterator[helm_python.Chart]:
    """Give the chart with the template of the dashboards alone; the others ask for a database and the like."""
    directory = tmp_path_factory.mktemp("chart") / "ullage"

    def other_templates(folder: str, names: list[str]) -> list[str]:
        if "templates" not in Path(folder).relative_to(CHART).parts:
            return []
        return [name for name in names if name.endswith((".yaml", ".txt")) and name != TEMPLATE]

    shutil.copytree(CHART, directory, ignore=other_templates)
    with helm_python.Chart.load(directory) as loaded:
        yield loaded


class TestConfigMaps:
    def _render(self, chart: helm_python.Chart, **monitoring: Any) -> list[dict[str, Any]]:
        rendered = chart.render({"monitoring": monitoring}, name="shop", namespace="prod")
        (text,) = [text for path, text in rendered.items() if path.endswith(TEMPLATE)] or [""]
        return [document for document in yaml.safe_load_all(text) if document]

    def test_are_not_made_unless_asked_for(self, chart):
        """Without monitoring.dashboards.enabled there is none."""
        assert self._render(chart) == []

    def test_hold_one_dashboard_each(self, chart):
        """Each has one dashboard as it is checked in, the label and folder for Grafana's sidecar, and fits."""
        made = self._render(chart, dashboards={"enabled": True})
        assert {name for one in made for name in one["data"]} == {f"{name}.json" for name in NAMES}
        for one in made:
            ((name, text),) = one["data"].items()
            assert json.loads(text) == load(name.removesuffix(".json"))
            assert len(text.encode()) < CONFIGMAP_BYTES / 4
            assert one["metadata"]["labels"]["grafana_dashboard"] == "1"
            assert one["metadata"]["annotations"]["grafana_folder"] == "ullage"
            assert one["metadata"]["namespace"] == "prod"

    def test_take_values(self, chart):
        """Labels, annotations, folder and the runbooks' address come from the values."""
        dashboards = {"enabled": True, "labels": {"team": "shop"}, "annotations": {"a": "b"}, "folder": ""}
        rules = {"runbookUrlPrefix": "https://wiki.example.com/"}
        for one in self._render(chart, dashboards=dashboards, rules=rules):
            (text,) = one["data"].values()
            assert RUNBOOKS not in text
            (runbooks,) = (v for v in json.loads(text)["templating"]["list"] if v["name"] == "runbooks")
            assert runbooks["query"] == "https://wiki.example.com/"
            assert one["metadata"]["labels"]["team"] == "shop"
            assert one["metadata"]["annotations"] == {"a": "b"}

    def test_builders_stay_out_of_the_chart(self, tmp_path):
        """The package has the JSON files, and nothing of what makes them."""
        package = helm_python.package(CHART, destination=tmp_path)
        with tarfile.open(package) as archive:
            names = archive.getnames()
        assert "ullage/monitoring/dashboards/overview.json" in names
        assert not [name for name in names if "builders" in name]
