"""The rules as the chart renders them, and a Prometheus that saw everything go wrong; each once for all tests."""

from __future__ import annotations

import os
from collections.abc import Iterator

import helm_python
import pytest

from tests.monitoring import rules
from tests.monitoring.live import Watch, open_shop
from tests.servers import MissingComponentError


@pytest.fixture(scope="session")
def watch() -> Iterator[Watch]:
    """Give the shop after everything has gone wrong in it once."""
    try:
        with open_shop() as opened, opened.trouble.traffic():
            for fault in opened.trouble.everything:
                fault()
            yield opened
    except MissingComponentError as error:
        if os.environ.get("CI") == "true":
            pytest.fail(str(error))
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def rules_chart(tmp_path_factory) -> Iterator[helm_python.Chart]:
    """Give the chart with the template of the rules alone."""
    with rules.load(tmp_path_factory.mktemp("chart") / "ullage") as loaded:
        yield loaded


@pytest.fixture(scope="session")
def rule_groups(rules_chart) -> dict[str, list[rules.Rule]]:
    """Give the default rules of a release by group."""
    return rules.groups_of(rules_chart)


@pytest.fixture(scope="session")
def alerts(rules_chart) -> dict[str, rules.Rule]:
    """Give the default alerts by name."""
    return rules.alerts_of(rules_chart)


@pytest.fixture(scope="session")
def recorded(rule_groups) -> dict[str, str]:
    """Give the recorded expressions by name."""
    return {rule["record"]: rule["expr"] for group in rule_groups.values() for rule in group if "record" in rule}
