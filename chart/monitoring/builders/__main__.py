"""Write every dashboard's JSON beside the chart's other files."""

from __future__ import annotations

from pathlib import Path

from chart.monitoring.builders.catalog import render_all

DIRECTORY = Path(__file__).resolve().parents[1] / "dashboards"


def main() -> None:
    """Write the files anew."""
    DIRECTORY.mkdir(exist_ok=True)
    for name, text in render_all().items():
        (DIRECTORY / f"{name}.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
