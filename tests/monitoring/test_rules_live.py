"""Every rule on a Prometheus that watched the real application under every fault; `for` is left out there."""

from __future__ import annotations

import re
from typing import Any

import httpx

from tests.servers import wait_for

# What the faults raise at once. The others need minutes, or something that the shop does not have.
RAISED = {
    "ExporterPartial",
    "FlaskAppBuiltInJob",
    "PoolExhausted",
    "SessionLeak",
    "StaleConnectionErrors",
    "WorkHorseKilled",
}


def ask(watch, path: str) -> dict[str, Any]:
    """Return the data of an answer of Prometheus' API."""
    answer = httpx.get(f"{watch.prometheus.url}/api/v1/{path}", trust_env=False, timeout=30)
    data: dict[str, Any] = answer.raise_for_status().json()["data"]
    return data


def firing(watch) -> dict[str, list[dict[str, Any]]]:
    """Return the alerts that fire, by name."""
    found: dict[str, list[dict[str, Any]]] = {}
    for alert in ask(watch, "alerts")["alerts"]:
        found.setdefault(alert["labels"]["alertname"], []).append(alert)
    return found


def rules_of(watch) -> list[dict[str, Any]]:
    """Return the rules as Prometheus has them, with how their last evaluation went."""
    return [rule for group in ask(watch, "rules")["groups"] for rule in group["rules"]]


def test_every_rule_is_evaluated_without_error(watch):
    """No expression fails on real series, for a join that finds two partners or the like."""
    wait_for(lambda: all(rule["health"] != "unknown" for rule in rules_of(watch)), 15, "an evaluation of every rule")
    assert [(rule["name"], rule["lastError"]) for rule in rules_of(watch) if rule["health"] != "ok"] == []


def test_every_recorded_series_has_data(watch):
    """Each recording rule finds what the faults left behind."""
    recorded = sorted({rule["name"] for rule in rules_of(watch) if rule["type"] == "recording"})

    def empty() -> list[str]:
        return [name for name in recorded if not watch.prometheus.query(name)]

    try:
        wait_for(lambda: not empty(), 15, interval=0.5)
    except TimeoutError:
        assert empty() == []


def test_the_faults_raise_their_alerts(watch):
    """What went wrong is named, the leak by its function and line, and every description is complete."""
    try:
        wait_for(lambda: firing(watch).keys() >= RAISED, 15, interval=0.5)
    except TimeoutError:
        assert sorted(firing(watch)) == sorted(RAISED)
    found = firing(watch)
    leaks = {alert["labels"]["function"]: alert["labels"]["site"] for alert in found["SessionLeak"]}
    assert re.fullmatch(r"app/faults\.py:\d+ _leak", leaks["app.tasks.leak"])
    assert {alert["labels"]["function"] for alert in found["FlaskAppBuiltInJob"]} == {"app.web.create_app"}
    texts = [alert["annotations"]["description"] for alerts in found.values() for alert in alerts]
    assert [text for text in texts if "<no value>" in text or "<error" in text or "  " in text] == []


def test_a_leak_says_how_many(watch):
    """The number in the description is the number of leaks, the one with which the series was born included."""

    def said_and_counted() -> tuple[str, str]:
        (counted,) = watch.prometheus.query('sum(sqlalchemy_unreleased_sessions_total{function="app.tasks.leak"})')
        (alert,) = [one for one in firing(watch)["SessionLeak"] if one["labels"]["function"] == "app.tasks.leak"]
        said: str = alert["annotations"]["description"].partition(" connection(s)")[0]
        return said, f"app.tasks.leak did not release {counted[1]:.0f}"

    wait_for(lambda: len(set(said_and_counted())) == 1, 15, "the number of leaks", 0.5)
