"""The rules of grafana/dashboard-linter, each as a test, with the exceptions and why there are any."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest

from tests.monitoring.dashboards import NAMES, Json, Window, expand, load, panels_of, targets_of, variables_of
from tests.monitoring.promql import matchers, ranges, selectors, walk

WINDOW = Window(0, 3600, step=30, scrape_interval=30)
UNITS = {
    *("none", "string", "short", "percent", "percentunit", "bytes", "s", "reqps", "ops", "cps", "dateTimeFromNow"),
}
# Alerts keep neither job nor instance in all cases: one is about an exporter that is not there.
WITHOUT_TARGET = {"ALERTS"}
# A table of routes is about the whole time range, and so are exact counts.
OVER_THE_RANGE = {"Routes"}


@pytest.fixture(params=NAMES)
def dashboard(request: pytest.FixtureRequest) -> Json:
    """Give each dashboard."""
    return load(request.param)


def _variable(dashboard: Json, name: str) -> Json:
    (found,) = (variable for variable in variables_of(dashboard) if variable["name"] == name)
    return found


def _queries(dashboard: Json) -> list[tuple[Json, str]]:
    return [(panel, expand(target["expr"], dashboard, WINDOW)) for panel, target in targets_of(dashboard)]


class TestVariables:
    def test_template_datasource(self, dashboard):
        """The data source is a variable, named and labelled as everywhere."""
        (datasource,) = (variable for variable in variables_of(dashboard) if variable["type"] == "datasource")
        assert (datasource["name"], datasource["label"]) == ("datasource", "Data source")
        assert datasource["query"] == "prometheus"

    @pytest.mark.parametrize("name", ["job", "instance"])
    def test_template_job_and_instance(self, dashboard, name):
        """Job and instance are query variables of that data source, several can be chosen, and All is `.+`."""
        variable = _variable(dashboard, name)
        assert variable["type"] == "query"
        assert variable["datasource"]["uid"] == "${datasource}"
        assert variable["label"] == name.title()
        assert (variable["multi"], variable["includeAll"], variable["allValue"]) == (True, True, ".+")

    def test_template_label_promql(self, dashboard):
        """The variables' values come from label_values() of a selector that is PromQL."""
        for variable in variables_of(dashboard):
            if variable["type"] == "query":
                found = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["query"])
                assert found, variable["query"]
                assert list(walk(expand(found[1], dashboard)))

    def test_template_on_time_change_reload(self, dashboard):
        """The variables' values are asked for again when the time range changes."""
        assert {variable["refresh"] for variable in variables_of(dashboard) if variable["type"] == "query"} == {2}


class TestPanels:
    def test_panel_datasource(self, dashboard):
        """Every panel and every query uses the variable's data source, which is Prometheus: there is no Loki query."""
        used = [panel["datasource"] for panel in panels_of(dashboard)]
        used += [target["datasource"] for _panel, target in targets_of(dashboard)]
        assert {(source["type"], source["uid"]) for source in used} == {("prometheus", "${datasource}")}

    def test_panel_title_and_description(self, dashboard):
        """Every panel has a title, and a description that is a sentence."""
        for panel in panels_of(dashboard):
            assert panel["title"]
            assert re.fullmatch(r"[A-Za-z0-9].{20,}\.", panel["description"], re.DOTALL), panel["title"]

    def test_panel_units(self, dashboard):
        """Every panel and every column of a table has a unit."""
        for panel in panels_of(dashboard):
            configuration = panel["fieldConfig"]
            units = [configuration["defaults"].get("unit")]
            if panel["type"] == "table":
                units = [
                    next(looks["value"] for looks in override["properties"] if looks["id"] == "unit")
                    for override in configuration["overrides"]
                ]
            assert units, panel["title"]
            assert set(units) <= UNITS, panel["title"]

    def test_panel_no_targets(self, dashboard):
        """Every panel has a query, and no two of its queries the same reference."""
        for panel in panels_of(dashboard):
            references = [target["refId"] for target in panel["targets"]]
            assert references, panel["title"]
            assert len(set(references)) == len(references), panel["title"]

    def test_uneditable(self, dashboard):
        """Nobody edits a dashboard that the next release replaces."""
        assert dashboard["editable"] is False


class TestTargets:
    def test_target_promql(self, dashboard):
        """Every query is PromQL, the variables replaced."""
        for panel, query in _queries(dashboard):
            assert list(walk(query)), panel["title"]
            assert "$" not in query.replace('"${1}xx"', ""), query

    def test_target_rate_interval(self, dashboard):
        """Every rate is over $__rate_interval; exceptions are tables about the whole time range."""
        expected = timedelta(seconds=WINDOW.rate_interval)
        for panel, query in _queries(dashboard):
            for place in ranges(query):
                if place.is_in("rate", "irate") and panel["title"] not in OVER_THE_RANGE:
                    assert place.node.range == expected, query

    @pytest.mark.parametrize("label", ["job", "instance"])
    def test_target_job_and_instance(self, dashboard, label):
        """Every selector is narrowed by the variables job and instance; exceptions are the alerts' own series."""
        for panel, target in targets_of(dashboard):
            plain = re.sub(r"\[\$\w+(:\$\w+)?\]", lambda found: "[5m:1m]" if found[1] else "[5m]", target["expr"])
            plain = re.sub(r"offset \$\w+", "offset 5m", plain)
            for place in selectors(plain):
                if place.node.name not in WITHOUT_TARGET:
                    assert matchers(place.node)[label] == ("=~", f"${label}"), panel["title"]

    def test_target_counter_agg(self, dashboard):
        """Every counter is in a rate; exceptions are exact counts, by clamp_min(), and times, by timestamp()."""
        for _panel, query in _queries(dashboard):
            for place in selectors(query):
                if place.node.name.endswith("_total"):
                    assert place.is_in("rate", "irate", "increase", "clamp_min", "timestamp"), query
