"""`python -m tests.chart.docs`: the derived parts of values.schema.json, and the tables of chart/README.md."""

from __future__ import annotations

import json
from typing import Any

from tests.chart import schema
from tests.chart.comments import read_comments
from tests.chart.helm import CHART

README = CHART / "README.md"
HEADING = "## Values"
ALERTS = "monitoring.rules.alerts"


def main() -> None:
    """Write values.schema.json, then chart/README.md below its heading `Values`."""
    schema.main()
    README.write_text(produce(README.read_text()))


def produce(text: str) -> str:
    """Return the README with the tables of values.yaml as they are now; what stands above them is written by hand."""
    head, _, _ = text.partition(f"\n{HEADING}\n")
    tables = [table(key, rows) for key, rows in sections().items()]
    note = (
        "Produced from the comments of values.yaml and from values.schema.json by `make docs`; a test compares.\n"
        "Labels, annotations, tolerations and the like are as Kubernetes has them.\n"
    )
    return f"{head}\n{HEADING}\n\n{note}\n" + "\n".join([*tables, alerts_table()])


def sections() -> dict[str, list[str]]:
    """Return the rows of each section: a top-level key, or `general` for those that stand alone."""
    document = schema.load()
    values = schema.defaults()
    comments = read_comments(schema.VALUES.read_text())
    found: dict[str, list[str]] = {}
    for path, default in schema.leaves(document, values):
        if path.startswith(ALERTS + "."):
            continue
        node = schema.resolve(document, schema.find(document, path))
        meaning = comments.get(path) or node.get("description", "")
        section = path.partition(".")[0] if "." in path else "general"
        row = f"| `{path}` | {escape(meaning)} | {escape(kind(node))} | {code(default)} |"
        found.setdefault(section, []).append(row)
    return found


def table(section: str, rows: list[str]) -> str:
    """Return a section: what its key is for, and a row for each leaf."""
    about = read_comments(schema.VALUES.read_text()).get(section, "")
    lines = [f"### {section}", "", *([f"`{section}`: {about}.", ""] if about else [])]
    return "\n".join([*lines, "| key | meaning | type | default |", "|---|---|---|---|", *rows, ""])


def alerts_table() -> str:
    """Return the alerts' defaults, one a row; each is `monitoring.rules.alerts.<alert>`."""
    alerts = schema.defaults()["monitoring"]["rules"]["alerts"]
    columns = ("for", "keepFiringFor", "severity", "threshold")
    lines = [
        f"### {ALERTS}",
        "",
        "Each alert also has `enabled` (`true`) and `labels` (`{}`).",
        "",
        f"| alert | {' | '.join(f'`{column}`' for column in columns)} |",
        "|---|" + "---|" * len(columns),
    ]
    for name, alert in alerts.items():
        lines.append(f"| `{name}` | " + " | ".join(str(alert.get(column, "")) for column in columns) + " |")
    return "\n".join([*lines, ""])


def kind(node: dict[str, Any]) -> str:
    """Return what a value may be, in words."""
    if "anyOf" in node:
        return "integer or percentage"
    if "enum" in node:
        return " | ".join(str(value) or "empty" for value in node["enum"])
    kinds = {"boolean": "true or false", "array": "list", "object": "map", "number": "number"}
    name = node.get("type", "")
    if name == "array" and node.get("items", {}).get("type") == "string":
        return "list of strings"
    return kinds.get(name, name) + limits(node)


def limits(node: dict[str, Any]) -> str:
    """Return the range of a number, in words."""
    low, high = node.get("minimum", node.get("exclusiveMinimum")), node.get("maximum")
    if low is None:
        return ""
    if high is not None:
        return f" from {low} to {high}"
    return f" above {low}" if "exclusiveMinimum" in node else f" from {low}"


def code(value: Any) -> str:
    """Return a value as it would stand in values.yaml, in one line."""
    return f"`{escape(json.dumps(value, ensure_ascii=False))}`"


def escape(text: str) -> str:
    """Return text that a cell of a table may have."""
    return text.replace("|", "\\|")


if __name__ == "__main__":
    main()
