"""A pool that is exhausted: threads wait, give up, or are served at last."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

from sqlalchemy import create_engine
from sqlalchemy.engine import Engine
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

import ullage
from tests.promises.readings import Page
from tests.promises.scenarios import run
from tests.servers import wait_for

NAME = "exhausted"
SIZE, OVERFLOW = 2, 1
TIMEOUT_SECONDS = 1.0
SERVED_TIMEOUT_SECONDS = 30.0
# How long all threads wait before the first is served.
HELD_SECONDS = 0.3


class Crowd:
    """Threads that each want one connection from a pool of which all are taken, and what they met."""

    def __init__(self, engine: Engine, threads: int) -> None:
        self.engine = engine
        self.timeouts = self.served = 0
        self.waited_seconds = 0.0
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._ask) for _ in range(threads)]

    def start(self) -> None:
        """Let all of them ask."""
        for thread in self._threads:
            thread.start()

    def join(self) -> None:
        """Wait until all have been served or have given up."""
        for thread in self._threads:
            thread.join()

    def _ask(self) -> None:
        started = time.monotonic()
        try:
            with self.engine.connect():
                waited = time.monotonic() - started
                with self._lock:
                    self.served += 1
                    self.waited_seconds += waited
        except PoolTimeoutError:
            with self._lock:
                self.timeouts += 1


def main(directory: str, url: str, threads: int, rounds: int) -> dict[str, Any]:
    """Exhaust one pool until all give up, and another until all are served; several times each."""
    assert ullage.install({"ULLAGE_DIR": directory, "ULLAGE_ROLE": "web"})
    return {
        "given up": _exhaust(Path(directory), url, threads, rounds, TIMEOUT_SECONDS, is_served=False),
        "served": _exhaust(Path(directory), url, threads, rounds, SERVED_TIMEOUT_SECONDS, is_served=True),
    }


def _exhaust(
    directory: Path, url: str, threads: int, rounds: int, timeout: float, *, is_served: bool
) -> dict[str, Any]:
    engine = create_engine(
        url, pool_size=SIZE, max_overflow=OVERFLOW, pool_timeout=timeout, pool_logging_name=f"{NAME}{timeout}"
    )

    def served(name: str, **labels: str) -> float:
        return Page.read(directory).total(name, engine=f"{NAME}{timeout}", **labels)

    found: dict[str, Any] = {"timeouts": 0, "served": 0, "waited_seconds": 0.0, "seen_waiting": [], "left_waiting": []}
    for _ in range(rounds):
        started = time.monotonic()
        holders = [engine.connect() for _ in range(SIZE + OVERFLOW)]
        found["waited_seconds"] += time.monotonic() - started
        crowd = Crowd(engine, threads)
        crowd.start()
        wait_for(lambda: served("sqlalchemy_pool_waiting_requests") == threads, timeout, f"{threads} waiting", 0.002)
        found["seen_waiting"].append(served("sqlalchemy_pool_waiting_requests"))
        found["used"] = served("sqlalchemy_pool_connections", state="used")
        if is_served:
            asked = time.monotonic()
            wait_for(lambda start=asked: time.monotonic() - start > HELD_SECONDS, what="a wait that is worth measuring")
            for holder in holders:
                holder.close()
        crowd.join()
        for holder in holders:
            holder.close()
        found["left_waiting"].append(served("sqlalchemy_pool_waiting_requests"))
        found["timeouts"] += crowd.timeouts
        found["served"] += crowd.served
        found["waited_seconds"] += crowd.waited_seconds
    return found | {
        "held": rounds * (SIZE + OVERFLOW),
        "counted_timeouts": served("sqlalchemy_pool_timeouts_total"),
        "counted_checkouts": served("sqlalchemy_pool_checkouts_total"),
        "counted_waits": served("sqlalchemy_pool_checkout_wait_seconds_count"),
        "counted_seconds": served("sqlalchemy_pool_checkout_wait_seconds_sum"),
    }


if __name__ == "__main__":
    run(main)
