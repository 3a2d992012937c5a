"""Many threads on small pools, with the interpreter switching threads as often as it can."""

from __future__ import annotations

import sys
import threading
from pathlib import Path
from typing import Any

from sqlalchemy import create_engine
from sqlalchemy.pool import QueuePool

import ullage
from tests.promises.readings import Page
from tests.promises.scenarios import run

SWITCH_SECONDS = 1e-6


def main(directory: str, database: str, threads: int, each: int) -> dict[str, Any]:
    """Check out and return `each` connections in every thread, on both pools."""
    assert ullage.install({"ULLAGE_DIR": directory, "ULLAGE_ROLE": "web"})
    sys.setswitchinterval(SWITCH_SECONDS)
    return {
        name: _contend(directory, database, name, *sizes, threads, each)
        for name, sizes in {"2+2": (2, 2), "1+3": (1, 3)}.items()
    }


def _contend(
    directory: str, database: str, name: str, size: int, overflow: int, threads: int, each: int
) -> dict[str, float]:
    engine = create_engine(
        f"sqlite:///{database}",
        poolclass=QueuePool,
        pool_size=size,
        max_overflow=overflow,
        pool_timeout=600,
        pool_logging_name=name,
        connect_args={"check_same_thread": False},
    )
    start = threading.Barrier(threads)
    done: list[int] = []

    def work() -> None:
        start.wait()
        for _ in range(each):
            with engine.connect():
                pass
        done.append(each)

    workers = [threading.Thread(target=work) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    page = Page.read(Path(directory))
    pool: Any = engine.pool
    return {
        "truth": sum(done),
        "checkouts": page.total("sqlalchemy_pool_checkouts_total", engine=name),
        "waits": page.total("sqlalchemy_pool_checkout_wait_seconds_count", engine=name),
        "uses": page.total("sqlalchemy_pool_connection_use_seconds_count", engine=name),
        "waiting": page.total("sqlalchemy_pool_waiting_requests", engine=name),
        "used": page.total("sqlalchemy_pool_connections", engine=name, state="used"),
        "idle": page.total("sqlalchemy_pool_connections", engine=name, state="idle"),
        "pool_used": pool.checkedout(),
        "pool_idle": pool.checkedin(),
        "dropped": page.total("ullage_dropped_series_total"),
        "leaks": page.total("ullage_leaks_total"),
    }


if __name__ == "__main__":
    run(main)
