"""Every query of every dashboard, on a Prometheus that watched the real application under every fault."""

from __future__ import annotations

import contextlib
import math
import os
import re
from typing import NoReturn

import pytest

from tests.monitoring.dashboards import NAMES, Json, Window, load, panels_of, targets_of
from tests.monitoring.live import Watch
from tests.monitoring.preview.browser import dump
from tests.monitoring.preview.page import fill, write
from tests.servers import MissingComponentError, find_program, wait_for

# A rate needs two events in its window, which a slow machine may scatter: everything then goes wrong once more.
ROUNDS = 3


def skip_or_fail(error: MissingComponentError) -> NoReturn:
    """Skip, with the command that installs what is missing; where everything must be there, fail."""
    if os.environ.get("CI") == "true":
        pytest.fail(str(error))
    pytest.skip(str(error))


def _has_data(series: list[Json]) -> bool:
    points = [point for one in series for point in one.get("values", [one.get("value")])]
    return any(not math.isnan(float(value)) for _moment, value in points)


def _empty(watch: Watch, dashboard: Json, window: Window) -> list[str]:
    asked = ((panel, target, watch.answer(dashboard, target, window)) for panel, target in targets_of(dashboard))
    return [f"{panel['title']}: {target['expr']}" for panel, target, series in asked if not _has_data(series)]


@pytest.mark.parametrize("name", NAMES)
def test_every_query_returns_data(watch, name):
    """No query is refused, and each finds what the faults left behind."""
    dashboard = load(name)
    for _ in range(ROUNDS):
        with contextlib.suppress(TimeoutError):
            wait_for(lambda: not _empty(watch, dashboard, watch.window()), 15, interval=0.5)
            return
        for fault in watch.trouble.everything:
            fault()
    assert _empty(watch, dashboard, watch.window()) == []


def test_marks_return_data(watch):
    """Started pods and firing alerts are marked; rollouts are asked for, where kube-state-metrics knows them."""
    dashboard = load("overview")
    found = {mark["name"]: watch.marks(dashboard, mark, watch.window()) for mark in dashboard["annotations"]["list"]}
    assert _has_data(found["Started pods"])
    assert _has_data(found["Alerts"])
    assert found["Rollouts"] == []


def test_lessons_turn_red(watch):
    """Each lesson that was broken is red on the overview, with the function and the line."""
    dashboard = load("overview")
    window = watch.window()

    def answer(title: str) -> list[Json]:
        (target,) = (target for panel, target in targets_of(dashboard) if panel["title"] == title)
        return watch.answer(dashboard, target, window)

    for title in ("1  Workers need no Flask app", "2  No user sees a stale connection", "3  Every session is released"):
        assert float(answer(title)[0]["value"][1]) > 0, title
    assert float(answer("4  Proxies and Gunicorn are right")[0]["value"][1]) == 0
    assert [row["metric"]["function"] for row in answer("Jobs that built an app")] == ["app.web.create_app"]
    leaks = {row["metric"]["function"]: row["metric"]["site"] for row in answer("Leaks by function and line")}
    assert re.fullmatch(r"app/faults\.py:\d+ _leak", leaks["app.tasks.leak"])


def test_preview_draws_every_panel(watch, tmp_path):
    """The preview's page of a dashboard has something in each panel."""
    try:
        browser = find_program("chromium", "chromium")
    except MissingComponentError as error:
        skip_or_fail(error)
    answered = fill(watch, load("overview"), watch.window())
    page, _height = write(tmp_path, answered)
    drawn = dump(browser, page)
    assert drawn.count('class="box"') == len(panels_of(answered["dashboard"]))
    assert 'class="none"' not in drawn
