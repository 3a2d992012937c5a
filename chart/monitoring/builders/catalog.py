"""All dashboards, as the text of their files."""

from __future__ import annotations

import json

from chart.monitoring.builders import exporter, http, overview, pools, workers

PAGES = (overview.PAGE, pools.PAGE, workers.PAGE, http.PAGE, exporter.PAGE)


def render_all() -> dict[str, str]:
    """Return each dashboard's JSON by its name."""
    return {page.name: json.dumps(page.build(), indent=1, ensure_ascii=False) + "\n" for page in PAGES}
