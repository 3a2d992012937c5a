"""What the chart's values change in the rules."""

from __future__ import annotations

import json
import re
from typing import Any

import helm_python
import pytest

from tests.monitoring import rules
from tests.monitoring.promql import matchers, selectors


class TestValues:
    """What the values of the chart change."""

    def test_off_by_default(self, rules_chart):
        """A default install has no PrometheusRule, which needs the operator."""
        rendered = rules_chart.render({}, name="shop", namespace="prod")
        assert all("PrometheusRule" not in text for text in rendered.values())

    def test_each_alert_has_its_values(self, rules_chart, alerts):
        """values.yaml has an entry for each alert, and for no other."""
        assert set(rules_chart.values["monitoring"]["rules"]["alerts"]) == set(alerts)

    @pytest.mark.parametrize("first", [0, 1])
    def test_each_alert_can_be_switched_off(self, rules_chart, alerts, first):
        """Alerts that are off are gone, and those between them stay."""
        off = list(alerts)[first::2]
        found = rules.alerts_of(rules_chart, {"alerts": {name: {"enabled": False} for name in off}})
        assert list(found) == list(alerts)[1 - first :: 2]

    def test_each_alert_can_be_retuned(self, rules_chart, alerts):
        """`for`, severity and threshold are what was asked for, each in the alert of that name."""
        defaults = rules_chart.values["monitoring"]["rules"]["alerts"]
        asked: dict[str, dict[str, Any]] = {}
        for number, name in enumerate(alerts):
            asked[name] = {"for": f"{100 + number}m", "severity": "info"}
            if "threshold" in defaults[name]:
                asked[name]["threshold"] = 4200 + number
        found = rules.alerts_of(rules_chart, {"alerts": asked})
        for name, alert in found.items():
            assert (alert["for"], alert["labels"]["severity"]) == (asked[name]["for"], "info")
            numbers = {int(number) for number in re.findall(r"\b42\d\d\b", alert["expr"])}
            assert numbers == {asked[name]["threshold"]} if "threshold" in asked[name] else not numbers

    def test_each_alert_can_be_relabelled(self, rules_chart, alerts):
        """Labels come from monitoring.rules.alertLabels for all, and from the alert's own, which win."""
        own = {name: {"labels": {"team": name}} for name in alerts}
        found = rules.alerts_of(rules_chart, {"alertLabels": {"team": "shop", "tier": "1"}, "alerts": own})
        assert {name: alert["labels"]["team"] for name, alert in found.items()} == {name: name for name in alerts}
        assert {alert["labels"]["tier"] for alert in found.values()} == {"1"}

    def test_an_alert_may_go_on_firing(self, rules_chart, alerts):
        """keepFiringFor sets keep_firing_for, and empty leaves it out for an older Prometheus."""
        assert alerts["PoolUtilizationHigh"]["keep_firing_for"] == "5m"
        found = rules.alerts_of(rules_chart, {"alerts": {"PoolUtilizationHigh": {"keepFiringFor": ""}}})
        assert "keep_firing_for" not in found["PoolUtilizationHigh"]

    def test_a_threshold_that_nothing_reads_is_refused(self, rules_chart):
        """A number for an alert that compares with none is a mistake, and the message says so."""
        with pytest.raises(helm_python.HelmRenderError, match=r"DevelopmentServer.threshold is 5, but .* remove it"):
            rules.render(rules_chart, {"alerts": {"DevelopmentServer": {"threshold": 5}}})

    @pytest.mark.parametrize(
        ("values", "message"),
        [
            ({"alerts": {"SessionLeaks": {"enabled": False}}}, "SessionLeaks"),
            ({"alerts": {"SessionLeak": {"for": "five minutes"}}}, "SessionLeak/for"),
            ({"objectives": {"jobWaitSeconds": 45}}, "jobWaitSeconds"),
        ],
        ids=["an unknown alert", "no duration", "a bound that no bucket has"],
    )
    def test_mistakes_are_refused(self, rules_chart, values, message):
        """The schema names the key that is wrong."""
        with pytest.raises(helm_python.HelmValuesError, match=message):
            rules.render(rules_chart, values)

    def test_another_selector(self, rules_chart):
        """A selector of one's own is in every query, after the query's own matchers."""
        groups = rules.groups_of(rules_chart, {"selector": 'cluster="a"'})
        found = [matchers(place.node) for expr in rules.expressions(groups) for place in selectors(expr)]
        assert {tuple(one["cluster"]) for one in found} == {("=", "a")}
        assert all("job" not in one for one in found)

    def test_other_objectives(self, rules_chart):
        """Another bound is in the recorded ratio and in the description."""
        groups = rules.groups_of(rules_chart, {"objectives": {"checkoutWaitSeconds": 1, "jobWaitSeconds": 0.5}})
        text = json.dumps(groups)
        assert 'le=\\"1.0\\"' in text
        assert 'le=\\"0.5\\"' in text
        assert 'le=\\"60.0\\"' not in text

    def test_links(self, rules_chart, alerts):
        """Both prefixes are values; without one there is no link to a dashboard, which leads to its alert's scope."""
        assert not any("dashboard_url" in alert["annotations"] for alert in alerts.values())
        prefixes = {"runbookUrlPrefix": "https://wiki/", "dashboardUrlPrefix": "https://grafana/"}
        found = rules.alerts_of(rules_chart, prefixes)["PoolExhausted"]["annotations"]
        assert found["runbook_url"] == "https://wiki/PoolExhausted.md"
        assert found["dashboard_url"] == (
            "https://grafana/d/ullage-pools?var-namespace={{ $labels.namespace | urlquery }}"
            "&var-job={{ $labels.job | urlquery }}"
        )

    def test_without_an_observer_nobody_misses_it(self, rules_chart, alerts):
        """ExporterMissing rests on the observer, which runs even when everything else is scaled to zero."""
        assert set(alerts) - set(rules.alerts_of(rules_chart, observer={"enabled": False})) == {"ExporterMissing"}

    def test_labels_and_annotations_of_the_object(self, rules_chart):
        """A Prometheus selects rules by labels, which are values."""
        metadata = rules.render(rules_chart, {"labels": {"release": "prom"}, "annotations": {"a": "b"}})["metadata"]
        assert metadata["labels"]["release"] == "prom"
        assert metadata["annotations"] == {"a": "b"}
        assert (metadata["name"], metadata["namespace"]) == ("shop-ullage-rules", "prod")
