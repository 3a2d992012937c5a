from __future__ import annotations

import statistics

import pytest
from redis import Redis

from tests.bench.workloads.queues import QUEUES, WORKERS, fill, round_trips, scraper, time_scrapes
from tests.observer.contents import contents
from tests.servers import Redis as RedisServer

pytestmark = [pytest.mark.promise, pytest.mark.timeout(900)]

BUDGET_MS = 5.0
SCRAPES = 50


def processor_ms(client: Redis) -> float:
    """Return the processor time that the server has used."""
    used = client.info("cpu")
    return 1e3 * (used["used_cpu_user"] + used["used_cpu_sys"])


def test_queues_are_read_fast_and_left_as_they_are(size):
    """Ten queues, fifty workers and 100,000 jobs take three round trips and five milliseconds, and no key changes."""
    jobs = size(100_000, 2_000)
    with RedisServer() as server, Redis.from_url(server.url) as client:
        fill(client, jobs)
        before = contents(client)
        scrape = scraper(server.url)
        server_ms = -processor_ms(client)
        found = time_scrapes(scrape, SCRAPES)
        server_ms = (server_ms + processor_ms(client)) / SCRAPES
        trips = round_trips(server.url)
        page = scrape().decode()
        after = contents(client)
    elapsed, own = (statistics.median(found[name]) / 1e6 for name in ("elapsed", "cpu"))
    least = min(found["cpu"]) / 1e6 + server_ms
    print(
        f"\npromise queue scrape: {QUEUES} queues, {WORKERS} workers, {jobs:,} jobs: {elapsed:.2f} ms "
        f"elapsed; {own:.2f} ms of processor time and {server_ms:.2f} ms of Redis's; {trips} round trips"
    )
    assert page.count(f'",state="queued"}} {jobs / QUEUES}\n') == QUEUES
    assert page.count(f'",state="idle"}} {float(WORKERS)}\n') == QUEUES
    assert after == before
    assert trips <= 3
    # Processor time, that of Redis included: others use the machine too, and what is elapsed is theirs as well.
    assert least <= BUDGET_MS
