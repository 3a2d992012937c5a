"""The rules as rendered: names, annotations, and queries that ask for what there is."""

from __future__ import annotations

import re
import subprocess

import pytest

from tests.monitoring import rules
from tests.monitoring.promql import grouped_by, matchers, selectors
from ullage import metrics as m
from ullage.leaks import LEAK_KINDS

RECORDED = re.compile(r"(instance|pod_engine|job|job_[a-z]+):[a-z_0-9]+:[a-z0-9_]+")
# What Prometheus and the sidecar's own process give, beside the table of metrics.
FOREIGN = {"up", "process_start_time_seconds"}
TARGET = {"cluster", "namespace", "job", "pod", "instance"}
VALUES = {
    "state": {"used", "queued", "scheduled", "live"},
    "level": {"lingering"},
    "kind": set(LEAK_KINDS),
    "detected_by": {"statement"},
    "outcome": {"failed|killed|exited"},
    "setting": {"pre_ping", "recycle", "size"},
    "seen": {"expected"},
    "collector": {"segments"},
    "probe": {"rq"},
    "engine": {"sqlite.*"},
}


def labels_of(name: str) -> set[str]:
    """Return the labels of a metric as it is exported, beside the target's."""
    if name in FOREIGN:
        return set()
    base = re.sub(r"_(bucket|count|sum)$", "", name)
    metric = m.BY_NAME.get(name) or m.BY_NAME[base]
    return {*metric.labels, "role", *({"le"} if metric.buckets else ())}


class TestForm:
    """What every rule looks like."""

    def test_promtool_accepts_them(self, rule_groups, promtool, tmp_path):
        """`promtool check rules` has no complaint, duplicates included."""
        path = tmp_path / "rules.yaml"
        path.write_text(rules.dump(rule_groups))
        command = [promtool, "check", "rules", "--lint=all", "--lint-fatal", str(path)]
        found = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
        assert found.returncode == 0, found.stdout + found.stderr

    def test_recorded_names_say_level_metric_and_operation(self, recorded):
        """A recorded series is named level:metric:operations, by the level that its labels have."""
        assert [name for name in recorded if not RECORDED.fullmatch(name)] == []

    def test_alerts_are_in_camel_case_without_a_prefix(self, alerts):
        """An alert's name is CamelCase, and does not begin with the project's."""
        names = list(alerts)
        assert [name for name in names if not re.fullmatch(r"([A-Z][a-z]+)+", name) or name.startswith("Ullage")] == []

    @pytest.mark.parametrize("key", ["summary", "description", "runbook_url"])
    def test_every_alert_says_what_and_where_to_read_on(self, alerts, key):
        """Each alert has a summary, a description and a runbook."""
        assert [name for name, alert in alerts.items() if not alert["annotations"].get(key)] == []

    def test_summaries_are_static(self, alerts):
        """A summary has no values in it, so that notifications can be grouped by it."""
        summaries = [alert["annotations"]["summary"] for alert in alerts.values()]
        assert [text for text in summaries if "{{" in text or not text.endswith(".")] == []

    def test_descriptions_show_values_as_people_read_them(self, alerts):
        """Where a description has the value, it is a percentage, a duration, rounded or humanized."""
        uses = [use for alert in alerts.values() for use in re.findall(r"{{ \$value[^}]*}}", _description(alert))]
        assert len(uses) > 20
        formats = ("humanize", "humanizePercentage", "humanizeDuration", 'printf "%.0f"')
        assert [use for use in uses if use not in {f"{{{{ $value | {form} }}}}" for form in formats}] == []

    def test_descriptions_use_labels_that_the_alert_has(self, alerts, recorded):
        """Each label of a description is one that the expression keeps, or that its absence is tested for."""
        for alert in alerts.values():
            used = set(re.findall(r"\$labels\.(\w+)", _description(alert)))
            read = {place.node.name for place in selectors(alert["expr"])} & set(recorded)
            known = grouped_by(alert["expr"]).union(TARGET, *(grouped_by(recorded[name]) for name in read))
            assert used <= known | {"compared"}, alert["alert"]

    def test_symptoms_page_and_causes_warn(self, alerts):
        """Critical is what users or jobs feel; all else is a warning."""
        critical = {name for name, alert in alerts.items() if alert["labels"]["severity"] == "critical"}
        assert critical == {
            "CheckoutWaitBudgetBurnFast",
            "JobWaitBudgetBurnFast",
            "JobsFailing",
            "PoolExhausted",
            "QueueLatencyHigh",
            "SchedulerDown",
            "StaleConnectionErrors",
            "WorkersGone",
        }


def _description(alert: rules.Rule) -> str:
    return str(alert["annotations"]["description"])


class TestQueries:
    """What the expressions ask for exists, and is narrowed to the release."""

    def test_metrics_and_labels_are_in_the_table(self, rule_groups, recorded):
        """Each metric is one of docs/metrics.md, Prometheus' own or recorded, and has the labels that are asked for."""
        for place in (place for expr in rules.expressions(rule_groups) for place in selectors(expr)):
            name = place.node.name
            asked = set(matchers(place.node)) - {"namespace", "job"}
            if name not in recorded:
                assert asked <= labels_of(name), (name, asked)
            else:
                assert asked <= grouped_by(recorded[name]), (name, asked)

    def test_label_values_exist(self, rule_groups):
        """Each value that is asked for is one that the probes or the observer write."""
        for place in (place for expr in rules.expressions(rule_groups) for place in selectors(expr)):
            for label, (_, value) in matchers(place.node).items():
                assert value in VALUES.get(label, ()) or label in ("namespace", "job", "le"), (label, value)

    def test_objectives_are_bounds_of_their_histograms(self, rule_groups):
        """`le` is written as the exporter writes it, and there is such a bucket."""
        bounds = {
            "sqlalchemy_pool_checkout_wait_seconds_bucket": m.WAIT_BUCKETS,
            "rq_job_wait_seconds_bucket": m.JOB_BUCKETS,
        }
        found = {
            (place.node.name, matchers(place.node)["le"][1])
            for expr in rules.expressions(rule_groups)
            for place in selectors(expr)
            if "le" in matchers(place.node)
        }
        assert found == {
            ("sqlalchemy_pool_checkout_wait_seconds_bucket", "0.1"),
            ("rq_job_wait_seconds_bucket", "60.0"),
        }
        assert [name for name, le in found if le not in map(repr, bounds[name])] == []

    def test_every_selector_is_narrowed_to_the_release(self, rule_groups):
        """Another release's series never reach an alert of this one."""
        for place in (place for expr in rules.expressions(rule_groups) for place in selectors(expr)):
            found = matchers(place.node)
            assert found["namespace"] == ("=", "prod"), place.node.name
            assert found["job"] == ("=", "prod/shop-ullage"), place.node.name

    def test_aggregations_keep_what_the_selector_may_use(self, rule_groups):
        """Every aggregation names its labels, with cluster, namespace and job among them."""
        for expr in rules.expressions(rule_groups):
            for modifier in re.findall(r"\b(?:sum|min|max|avg|count)\b(?: by \(([^)]*)\))?", expr):
                assert modifier.startswith("cluster, namespace, job"), expr

    def test_recorded_series_are_used(self, rule_groups, recorded):
        """Nothing is recorded that no alert reads."""
        read = {place.node.name for expr in rules.expressions(rule_groups) for place in selectors(expr)}
        assert set(recorded) <= read
