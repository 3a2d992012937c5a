"""Each alert as rendered, before promtool: six cases each, and hours in which nothing, or only what should, fires."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.monitoring import promtool as cases
from tests.monitoring import rules

GROUPS = sorted(path.stem for path in cases.CASES.glob("*.yaml"))


@pytest.fixture(scope="module")
def groups(rules_chart) -> dict[str, list[rules.Rule]]:
    """Give the default rules of a release, by group, with links."""
    return rules.groups_of(rules_chart, cases.RULES)


def write_tests(directory: Path, group: str, groups: dict[str, list[rules.Rule]]) -> list[str]:
    """Write a group's rules and cases, and return promtool's files: one for each step."""
    # What tells whether a counter is new is read by the other groups.
    watched = [rule for rule in groups["ullage-exporter"] if "record" in rule]
    wanted = {"ullage-exporter": watched, f"ullage-{group}": groups[f"ullage-{group}"]}
    (directory / f"{group}-rules.yaml").write_text(rules.dump(wanted))
    alerts = {rule["alert"]: rule for rule in groups[f"ullage-{group}"] if "alert" in rule}
    source = yaml.safe_load((rules.CHART / "monitoring" / "rules" / f"{group}.yaml").read_text())
    dashboards = {alert["alert"]: alert["dashboard"] for alert in source["alerts"]}
    files: dict[int, list[dict[str, Any]]] = {}
    for name, by_name in cases.read(group).items():
        step = int(by_name.pop("step", 1))
        tests = [
            cases.test_group(alerts[name], case_name, case, step, dashboards[name])
            for case_name, case in by_name.items()
        ]
        files.setdefault(step, []).extend(tests)
    paths = []
    for step, tests in files.items():
        content = {"rule_files": [f"{group}-rules.yaml"], "evaluation_interval": f"{step}m", "tests": tests}
        path = directory / f"{group}-{step}.json"
        path.write_text(json.dumps(content))
        paths.append(path.name)
    return paths


def run(promtool: str, directory: Path, files: list[str]) -> None:
    """Let promtool check test files; fail with what it says."""
    command = [promtool, "test", "rules", *files]
    found = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False, timeout=120)
    assert found.returncode == 0, found.stdout + found.stderr


@pytest.mark.parametrize("group", GROUPS)
def test_each_alert_fires_when_it_should_and_only_then(group, groups, promtool, tmp_path):
    """promtool finds every case of a group as it is written, labels and annotations included."""
    run(promtool, tmp_path, write_tests(tmp_path, group, groups))


@pytest.mark.parametrize("scenario", sorted(path.stem for path in cases.SCENARIOS.glob("*.yaml")))
def test_an_hour_of_all_alerts(scenario, groups, promtool, tmp_path):
    """In a healthy hour with a rollout nothing fires, and after a restart of the database what should."""
    alerts = {rule["alert"]: rule for group in groups.values() for rule in group if "alert" in rule}
    (tmp_path / "rules.yaml").write_text(rules.dump(groups))
    test = cases.test_scenario(alerts, scenario)
    content = {"rule_files": ["rules.yaml"], "evaluation_interval": "1m", "tests": [test]}
    (tmp_path / "scenario.json").write_text(json.dumps(content))
    run(promtool, tmp_path, ["scenario.json"])


def test_each_alert_has_the_six_cases(groups):
    """Every alert is shown firing, quiet, at its limit, without series, over a reset and while pods are replaced."""
    alerts = {rule["alert"] for group in groups.values() for rule in group if "alert" in rule}
    found = {name: set(by_name) - {"step"} for group in GROUPS for name, by_name in cases.read(group).items()}
    assert found == {name: set(cases.NAMES) for name in alerts}


def test_each_case_shows_its_side():
    """A case `firing` has a time at which its alert does, and `quiet` has none."""
    for group in GROUPS:
        for alert, by_name in cases.read(group).items():
            assert any(by_name["firing"]["firing"].values()), alert
            assert not any(by_name["quiet"]["firing"].values()), alert
