"""The page of one dashboard: its JSON with the answers to its queries, and the scripts that draw them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.monitoring.dashboards import Json, Window
from tests.monitoring.live import Watch

# Pixels: of the page, of a grid unit's height, and of what stands above the panels.
WIDTH = 1600
UNIT_HEIGHT = 36
HEADER_HEIGHT = 72

_HERE = Path(__file__).parent
_SCRIPTS = ("units.js", "series.js", "tiles.js", "graphs.js", "tables.js", "page.js")


def fill(watch: Watch, dashboard: Json, window: Window) -> dict[str, Any]:
    """Ask every query, and return the dashboard with the answers."""
    for panel in dashboard["panels"]:
        for target in panel.get("targets", ()):
            target["answer"] = watch.answer(dashboard, target, window)
    marks = dashboard["annotations"]["list"]
    for mark in marks:
        mark["answer"] = watch.marks(dashboard, mark, window)
    return {"dashboard": dashboard, "start": window.start, "end": window.end, "step": window.step}


def write(directory: Path, answered: dict[str, Any]) -> tuple[Path, int]:
    """Write the page, and return its file and its height in pixels."""
    places = [panel["gridPos"] for panel in answered["dashboard"]["panels"]]
    height = HEADER_HEIGHT + UNIT_HEIGHT * max(place["y"] + place["h"] for place in places)
    data = json.dumps(answered).replace("</", "<\\/")
    scripts = "".join(f"<script>{(_HERE / name).read_text()}</script>\n" for name in _SCRIPTS)
    style = (_HERE / "page.css").read_text()
    sizes = json.dumps({"width": WIDTH, "unit": UNIT_HEIGHT, "header": HEADER_HEIGHT})
    page = directory / "page.html"
    page.write_text(
        f"<!doctype html><meta charset=utf-8><style>{style}</style><body>"
        f"<script>const SIZES = {sizes}, ANSWERED = {data};</script>\n{scripts}"
    )
    return page, height
