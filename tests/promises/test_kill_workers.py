from __future__ import annotations

import os
import random
import signal
import threading

import pytest

from tests.promises.readings import Page, samples_of
from tests.promises.shop import CHECKOUTS_BEGUN, CHECKOUTS_DONE, REQUESTS_BEGUN, REQUESTS_ENDED
from tests.promises.web import Sidecar, Web, ask

pytestmark = [pytest.mark.promise, pytest.mark.timeout(1800)]

WORKERS, THREADS = 4, 4
CHECKOUTS = 3  # in each request
KILL_SECONDS = 1.0


class Killer:
    """Kills a worker every second, from `with` to its end."""

    def __init__(self, web: Web) -> None:
        self.web = web
        self.killed: list[int] = []
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._random = random.Random(1)

    def __enter__(self) -> Killer:
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._is_over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._is_over.wait(KILL_SECONDS):
            workers = self.web.workers()
            if workers:
                self.killed.append(self._random.choice(workers))
                os.kill(self.killed[-1], signal.SIGKILL)


def test_killed_workers_take_no_count_with_them(mariadb_database, segments, tmp_path, size):
    """With a worker killed every second, counters equal what the app did, but for what was in flight at a kill."""
    requests = size(20_000, 2_000)
    with Web(tmp_path, segments, mariadb_database, WORKERS, THREADS) as web, Sidecar(tmp_path, segments) as sidecar:
        before = web.settle()
        served_before = Page(samples_of(sidecar.scrape()))
        with sidecar.watched() as watch, Killer(web) as killer:
            statuses = ask(web.port, f"/work/{CHECKOUTS}", requests)
        did = [now - then for now, then in zip(web.settle(), before, strict=True)]
        served = Page(samples_of(sidecar.scrape()))

    counted = _grown("flask_requests_total", served_before, served)
    checkouts = _grown("sqlalchemy_pool_checkouts_total", served_before, served)
    answered, failed = statuses[200], statuses[None]
    in_flight = did[REQUESTS_BEGUN] - did[REQUESTS_ENDED]
    print(
        f"\npromise kill-workers: {requests:,} requests, {len(killer.killed)} workers killed, answered {answered:,}, "
        f"failed {failed}; the app began {did[REQUESTS_BEGUN]:,} and ended {did[REQUESTS_ENDED]:,}, "
        f"{in_flight} in flight at a kill; requests counted {counted:,.0f}\n"
        f"  checkouts begun {did[CHECKOUTS_BEGUN]:,}, had {did[CHECKOUTS_DONE]:,}, counted {checkouts:,.0f}; "
        f"{watch.seen} scrapes, {len(watch.falls)} falls"
    )
    assert set(statuses) <= {200, None}
    assert sum(statuses.values()) == requests
    assert len(killer.killed) >= 2
    # What was in flight in a killed process may be counted or not; all else is counted once.
    assert did[REQUESTS_ENDED] <= counted <= did[REQUESTS_BEGUN]
    assert in_flight <= len(killer.killed) * THREADS
    assert answered - in_flight <= counted <= answered + failed
    assert did[CHECKOUTS_DONE] <= checkouts <= did[CHECKOUTS_BEGUN]
    assert did[CHECKOUTS_BEGUN] - did[CHECKOUTS_DONE] <= in_flight
    assert watch.falls == []
    assert watch.seen > 0
    assert sidecar.failed == 0


def _grown(name: str, before: Page, after: Page) -> float:
    return after.total(name) - before.total(name)
