"""Whole scrapes without HTTP: collect and write the text; ullage's collector or prometheus_client's."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest

from tests.bench import peer as prometheus
from tests.bench.child import run
from tests.bench.workloads.fleet import fleet
from ullage.collector import Collector, Reading


def main(segments: Path, databases: Path, peer: Path, count: int, scrapes: int, with_peer: bool) -> dict[str, Any]:
    """Return nanoseconds of CPU time of each scrape, how much was served, and the number of series a segment."""
    with fleet(segments, databases, count):
        found = {"ullage": time_scrapes(scraper(segments), scrapes), "bytes": len(scraper(segments)())}
        snapshot = next(iter(Reading(segments)))
        found["series"] = len(snapshot.series)
        if with_peer:
            prometheus.write_files(count, snapshot.series)
            found |= {"peer": time_scrapes(prometheus.scrape, scrapes), "peer_bytes": len(prometheus.scrape())}
    return found


def scraper(segments: Path) -> Callable[[], bytes]:
    """Return what makes the page of a segment directory."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Collector(segments))
    return lambda: generate_latest(registry)


def time_scrapes(scrape: Callable[[], bytes], scrapes: int) -> list[int]:
    """Return nanoseconds of CPU time of each scrape."""
    taken = []
    for _ in range(scrapes):
        started = time.process_time_ns()
        scrape()
        taken.append(time.process_time_ns() - started)
    return taken


if __name__ == "__main__":
    run(main)
