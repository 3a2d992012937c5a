"""The observer's queue scrape, on a Redis of its own that RQ filled: read, build the families, write the text."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from redis import Redis as Client
from rq import Queue, SimpleWorker

from tests.bench.child import run
from tests.observer.round_trips import RoundTrips
from tests.servers import Redis
from ullage.observer.collector import Observer
from ullage.observer.redis_source import RedisSource

QUEUES, WORKERS = 10, 50
BATCH = 1_000


def main(segments: Path, databases: Path, peer: Path, jobs: int, scrapes: int) -> dict[str, Any]:
    """Return nanoseconds of each scrape, elapsed and of CPU time, and the round trips of one."""
    with Redis() as server:
        with Client.from_url(server.url) as client:
            fill(client, jobs)
        found = time_scrapes(scraper(server.url), scrapes)
        return {**found, "round_trips": round_trips(server.url)}


def nothing() -> None:
    """What the jobs would do."""


def fill(client: Client, jobs: int) -> None:
    """Enqueue jobs, the same number on each queue, and register workers that listen to all of them."""
    queues = [Queue(f"queue-{index}", connection=client) for index in range(QUEUES)]
    for queue in queues:
        for first in range(0, jobs // QUEUES, BATCH):
            batch = min(BATCH, jobs // QUEUES - first)
            queue.enqueue_many([Queue.prepare_data(nothing) for _ in range(batch)])
    for _ in range(WORKERS):
        worker = SimpleWorker(queues, connection=client)
        worker.register_birth()
        worker.set_state("idle")


def scraper(url: str) -> Callable[[], bytes]:
    """Return what makes the observer's page of a Redis."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Observer([RedisSource(url)]))
    return lambda: generate_latest(registry)


def time_scrapes(scrape: Callable[[], bytes], scrapes: int) -> dict[str, list[int]]:
    """Return nanoseconds of each scrape, after a first one that connects."""
    found: dict[str, list[int]] = {"elapsed": [], "cpu": []}
    scrape()
    for _ in range(scrapes):
        started, cpu_started = time.perf_counter_ns(), time.process_time_ns()
        scrape()
        found["elapsed"].append(time.perf_counter_ns() - started)
        found["cpu"].append(time.process_time_ns() - cpu_started)
    return found


def round_trips(url: str) -> int:
    """Return how often a scrape waits for Redis, once it is connected."""
    source = RedisSource(url)
    trips = RoundTrips(source.client)
    source.readings()
    before = trips.count
    source.readings()
    return trips.count - before


if __name__ == "__main__":
    run(main)
