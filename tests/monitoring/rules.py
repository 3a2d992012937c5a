"""The rules as the chart renders them; `python -m tests.monitoring.rules` writes what docs/ has of them."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

import helm_python
import yaml

ROOT = Path(__file__).parents[2]
CHART = ROOT / "chart"
PLAIN = ROOT / "docs" / "rules.yaml"
RUNBOOKS = ROOT / "docs" / "runbooks"
TEMPLATE = "templates/monitoring/prometheusrule.yaml"
# What the template needs of the chart. The rest asks for a database and the like, and has tests of its own.
PARTS = ("Chart.yaml", "values.yaml", "values.schema.json", "charts", "monitoring/rules", TEMPLATE)

Rule = dict[str, Any]

_KEYS = ("record", "alert", "expr", "for", "keep_firing_for", "labels", "annotations")

_HEADER = """\
# Recording rules and alerts of ullage, for a Prometheus without its operator: list this file under rule_files.
# Produced from the chart by `make docs`; a test compares. Needs Prometheus 2.42 or later.
"""


def load(directory: Path) -> helm_python.Chart:
    """Return the chart with the template of the rules alone, copied into a directory."""
    helpers = [str(path.relative_to(CHART)) for path in CHART.glob("templates/**/*.tpl")]
    for part in (*PARTS, *helpers):
        source, target = CHART / part, directory / part
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target)
        elif source.exists():
            shutil.copy(source, target)
    return helm_python.Chart.load(directory)


def render(chart: helm_python.Chart, rules: dict[str, Any] | None = None, **values: Any) -> dict[str, Any]:
    """Return the PrometheusRule of a release `shop` in `prod`, given `monitoring.rules` and other values."""
    given = {**values, "monitoring": {"rules": {"enabled": True, **(rules or {})}}}
    rendered = chart.render(given, name="shop", namespace="prod")
    (text,) = (text for path, text in rendered.items() if path.endswith(TEMPLATE))
    document: dict[str, Any] = yaml.load(text, Loader=yaml.CSafeLoader)  # a tenth of the time of SafeLoader's
    return document


def groups_of(chart: helm_python.Chart, rules: dict[str, Any] | None = None, **values: Any) -> dict[str, list[Rule]]:
    """Return the rendered rules by group."""
    return {group["name"]: group["rules"] for group in render(chart, rules, **values)["spec"]["groups"]}


def alerts_of(chart: helm_python.Chart, rules: dict[str, Any] | None = None, **values: Any) -> dict[str, Rule]:
    """Return the rendered alerts by name."""
    groups = groups_of(chart, rules, **values).values()
    return {rule["alert"]: rule for group in groups for rule in group if "alert" in rule}


def expressions(groups: dict[str, list[Rule]]) -> list[str]:
    """Return the expressions of all rules."""
    return [rule["expr"] for group in groups.values() for rule in group]


class _Dumper(yaml.SafeDumper):
    """Writes texts of several lines as blocks."""


def _represent_text(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _represent_text)


def dump(groups: dict[str, list[Rule]]) -> str:
    """Return groups as the text of a rules file."""
    ordered = {name: [_ordered(rule) for rule in rules] for name, rules in groups.items()}
    document = {"groups": [{"name": name, "rules": rules} for name, rules in ordered.items()]}
    return yaml.dump(document, Dumper=_Dumper, sort_keys=False, width=1000, allow_unicode=True)


def _ordered(rule: Rule) -> Rule:
    return {key: rule[key] for key in _KEYS if key in rule}


def plain(chart: helm_python.Chart) -> str:
    """Return docs/rules.yaml: the default rules, not narrowed to a release."""
    return _HEADER + dump(groups_of(chart, {"selector": "{}"}))


def index(chart: helm_python.Chart) -> str:
    """Return docs/runbooks/README.md."""
    lines = [
        "# Runbooks",
        "",
        "One page for each alert of [rules.yaml](../rules.yaml), which the chart makes a PrometheusRule of.",
        "Symptoms are critical: somebody is hurt now.",
        "Causes are warnings: somebody will be.",
        "The commands use a release `shop` in the namespace `prod`; put in the pod that the alert or its query names.",
        "Each alert can be switched off, retuned and relabelled: `monitoring.rules.alerts` of the chart's values.",
        "",
        "| alert | severity | for | meaning |",
        "|---|---|---|---|",
    ]
    for name, alert in alerts_of(chart).items():
        severity, summary = alert["labels"]["severity"], alert["annotations"]["summary"]
        lines.append(f"| [{name}]({name}.md) | {severity} | {alert['for']} | {summary} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Write the files that come from the rules."""
    with tempfile.TemporaryDirectory() as directory, load(Path(directory) / "ullage") as chart:
        RUNBOOKS.mkdir(exist_ok=True)
        PLAIN.write_text(plain(chart))
        (RUNBOOKS / "README.md").write_text(index(chart))


if __name__ == "__main__":
    main()
