"""What is produced from the rules, or written about them: docs/rules.yaml and docs/runbooks."""

from __future__ import annotations

import re

import promql_parser
import yaml

from tests.monitoring import rules
from tests.monitoring.promql import grouped_by, matchers, selectors
from tests.monitoring.test_rules import TARGET, labels_of


class TestDocuments:
    """What is produced from the rules, or written about them."""

    def test_the_plain_file_is_the_default_rules(self, rules_chart):
        """docs/rules.yaml is what the chart renders, for every release; `make docs` writes it."""
        assert rules.plain(rules_chart) == rules.PLAIN.read_text(), "run: make docs"

    def test_the_plain_file_is_narrowed_to_nothing(self):
        """No query of docs/rules.yaml names a release, and each is PromQL."""
        groups = {group["name"]: group["rules"] for group in yaml.safe_load(rules.PLAIN.read_text())["groups"]}
        for expr in rules.expressions(groups):
            promql_parser.parse(expr)
            assert "$" not in expr
            assert not any({"namespace", "job"} & set(matchers(place.node)) for place in selectors(expr))

    def test_the_index_lists_the_alerts(self, rules_chart):
        """docs/runbooks/README.md is a table of the alerts; `make docs` writes it."""
        assert rules.index(rules_chart) == (rules.RUNBOOKS / "README.md").read_text(), "run: make docs"

    def test_each_alert_has_a_runbook_and_each_runbook_an_alert(self, alerts):
        """docs/runbooks has one page for each alert, and no other."""
        assert {path.stem for path in rules.RUNBOOKS.glob("*.md")} == {*alerts, "README"}

    def test_each_runbook_has_its_parts(self, alerts):
        """A page says what it means, whom it hurts, how to look, what to do now, and how to mend it for good."""
        parts = ["Meaning", "Impact", "Diagnosis", "Mitigation", "Fix"]
        for name, alert in alerts.items():
            text = (rules.RUNBOOKS / f"{name}.md").read_text()
            lines = text.splitlines()
            assert lines[:3] == [f"# {name}", "", alert["annotations"]["summary"]], name
            assert [line.removeprefix("## ") for line in lines if line.startswith("## ")] == parts, name
            assert "```console" in text.partition("## Diagnosis")[2].partition("## Mitigation")[0], name
            fix = text.partition("## Fix")[2]
            assert "Before:" in fix, name
            assert "After:" in fix, name

    def test_queries_of_the_runbooks_are_right(self, alerts, recorded):
        """Each PromQL in a page parses, and asks for series that there are."""
        for name in alerts:
            text = (rules.RUNBOOKS / f"{name}.md").read_text()
            for query in re.findall(r"```promql\n(.*?)```", text, re.DOTALL):
                for place in selectors(query):
                    node = place.node
                    known = grouped_by(recorded[node.name]) if node.name in recorded else labels_of(node.name)
                    assert set(matchers(node)) <= known | TARGET, (name, query)
