"""Forked writers one after another, each with one query: what they leave behind, and what a scrape of that costs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.bench.child import run
from tests.bench.shop import QUERY, Shop, measured
from tests.bench.workloads.claim import fork
from tests.bench.workloads.scrape import scraper, time_scrapes

EARLY_JOBS = 10


def main(segments: Path, databases: Path, peer: Path, jobs: int, scrapes: int) -> dict[str, Any]:
    """Return files and nanoseconds a scrape after the first jobs and after all, and the checkouts then served."""
    measured(segments, "worker")
    shop = Shop.on_sqlite(databases)
    found: dict[str, Any] = {}
    for number in range(1, jobs + 1):
        fork(lambda engine=shop.engines[number % 2]: _perform(engine))
        if number in (EARLY_JOBS, jobs):
            name = "late" if number == jobs else "early"
            found[name] = time_scrapes(scraper(segments), scrapes)
            found[f"{name}_files"] = len(list(segments.iterdir()))
    page = scraper(segments)().decode()
    lines = [line for line in page.splitlines() if line.startswith("sqlalchemy_pool_checkouts_total{")]
    return {**found, "checkouts": sum(float(line.rpartition(" ")[2]) for line in lines)}


def _perform(engine: Any) -> None:
    with engine.connect() as connection:
        connection.execute(QUERY)


if __name__ == "__main__":
    run(main)
