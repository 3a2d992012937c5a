"""`python -m tests.chart.golden` writes what two files of chart/ci render to, for a reviewer to read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from tests.chart import helm

FOLDER = Path(__file__).parent / "golden"
CASES = ("evaluation", "everything")
# Longer texts, such as dashboards and scripts, are files of their own.
LONGEST = 400


def produce(case: str) -> str:
    """Return the objects of a case by component and kind, without what each render makes anew."""
    objects = helm.render(helm.case(helm.CHART / "ci" / f"{case}-values.yaml"))
    ordered = sorted(objects, key=lambda each: (helm.component_of(each), helm.name(each)))
    texts = [yaml.safe_dump(shorten(each), sort_keys=False, width=120, allow_unicode=True) for each in ordered]
    return f"# chart/ci/{case}-values.yaml, rendered by: python -m tests.chart.golden\n" + "---\n".join(texts)


def shorten(node: Any, key: str = "") -> Any:
    """Return a tree without random values and long texts."""
    if isinstance(node, dict):
        hidden = {"data", "stringData"} if node.get("kind") == "Secret" else set()
        return {
            name: dict.fromkeys(child, "(secret)") if name in hidden else shorten(child, name)
            for name, child in node.items()
        }
    if isinstance(node, list):
        # tests/monitoring has the alerts; here their names are enough.
        are_alerts = key == "rules" and any("expr" in child for child in node)
        return [child.get("alert") or child["record"] for child in node] if are_alerts else [*map(shorten, node)]
    if key.startswith("checksum/"):
        return "(checksum)"
    return "(a text)" if isinstance(node, str) and len(node) > LONGEST else node


def main() -> None:
    """Write every golden file."""
    FOLDER.mkdir(exist_ok=True)
    for case in CASES:
        (FOLDER / f"{case}.yaml").write_text(produce(case))


if __name__ == "__main__":
    main()
