"""The unit tests of the alerts: promtool/<group>.yaml as files for `promtool test rules`.

A case is what Prometheus scraped (`series`, a value a minute) and which alerts fire when, each by the labels beyond
namespace, job and severity. `@web-1` stands for a target's labels; it is up from the start unless its ullage_up is
given, and its exporter started with it. The case `firing` also gives the description.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import yaml

from tests.monitoring.rules import Rule

CASES = Path(__file__).parent / "promtool"
SCENARIOS = Path(__file__).parent / "scenarios"
# What every alert is tested with: it fires, it does not, just at its limit, without the series that it asks for, over a
# counter that begins anew or a scrape that is missing, and while pods are replaced.
NAMES = ("firing", "quiet", "boundary", "missing", "reset", "churn")
RUNBOOKS = "https://runbooks.example/"
GRAFANA = "https://grafana.example"
JOB = "prod/shop-ullage"
RULES = {"runbookUrlPrefix": RUNBOOKS, "dashboardUrlPrefix": GRAFANA}
_TARGET = re.compile(r"@([a-z0-9-]+)")
_LINK = "{prefix}/d/ullage-{dashboard}?var-namespace=prod&var-job=prod%2Fshop-ullage"

Case = dict[str, Any]


def read(group: str) -> dict[str, dict[str, Case]]:
    """Return a group's cases by alert and name; the key `step` of an alert is the minutes between two values."""
    # Every scalar as text: else YAML takes promtool's 0x40, a zero and forty more, for 64.
    cases: dict[str, dict[str, Case]] = yaml.load((CASES / f"{group}.yaml").read_text(), Loader=yaml.BaseLoader)
    return cases


def test_group(alert: Rule, name: str, case: Case, step: int, dashboard: str) -> dict[str, Any]:
    """Return one case as promtool has it."""
    times = case["firing"]
    wanted = {"alertname": alert["alert"], "alertstate": "firing"}
    firing = [_fires(wanted, at, [_labels(alert, own) for own in expected]) for at, expected in times.items()]
    described = [_described(alert, case, dashboard)] if name == "firing" else []
    return {
        "interval": f"{step}m",
        "name": f"{alert['alert']}, {name}",
        "input_series": [{"series": series, "values": values} for series, values in _inputs(case["series"]).items()],
        "promql_expr_test": firing,
        "alert_rule_test": described,
    }


def test_scenario(alerts: dict[str, Rule], name: str) -> dict[str, Any]:
    """Return a scenario, which names all alerts that fire at its times, as promtool has it."""
    case: Case = yaml.load((SCENARIOS / f"{name}.yaml").read_text(), Loader=yaml.BaseLoader)
    found = {
        at: [{"alertname": own["alertname"], **_labels(alerts[own["alertname"]], own)} for own in expected]
        for at, expected in case["firing"].items()
    }
    return {
        "interval": "1m",
        "name": name,
        "input_series": [{"series": series, "values": values} for series, values in _inputs(case["series"]).items()],
        "promql_expr_test": [_fires({"alertstate": "firing"}, at, labels) for at, labels in found.items()],
    }


def _inputs(given: dict[str, str]) -> dict[str, str]:
    series = {_expanded(name): values for name, values in given.items()}
    for target in {found for name in given for found in _TARGET.findall(name)}:
        series.setdefault(_expanded(f"ullage_up{{@{target}}}"), "1x100")
        series.setdefault(_expanded(f"process_start_time_seconds{{@{target}}}"), "0x100")
    return series


def _expanded(series: str) -> str:
    return _TARGET.sub(rf'namespace="prod",job="{JOB}",pod="\1",instance="\1:9145"', series)


def _labels(alert: Rule, own: dict[str, str]) -> dict[str, str]:
    common = {"namespace": "prod", "job": JOB, "severity": alert["labels"]["severity"]}
    return {**common, **own}


def _fires(wanted: dict[str, str], at: str, expected: list[dict[str, str]]) -> dict[str, Any]:
    found = [{"labels": _alerts({**wanted, **labels}), "value": 1} for labels in expected]
    return {"expr": _alerts(wanted), "eval_time": at, "exp_samples": found}


def _alerts(labels: dict[str, str]) -> str:
    return "ALERTS{" + ",".join(f"{name}={json.dumps(value)}" for name, value in labels.items()) + "}"


def _described(alert: Rule, case: Case, dashboard: str) -> dict[str, Any]:
    at, (own,) = next((at, expected) for at, expected in reversed(case["firing"].items()) if expected)
    annotations = {
        "summary": alert["annotations"]["summary"],
        "description": " ".join(case["text"].split()),
        "runbook_url": f"{RUNBOOKS}{alert['alert']}.md",
        "dashboard_url": _LINK.format(prefix=GRAFANA, dashboard=dashboard),
    }
    expected = {"exp_labels": _labels(alert, own), "exp_annotations": annotations}
    return {"eval_time": at, "alertname": alert["alert"], "exp_alerts": [expected]}
