"""Forked writers one after another, as RQ's work horses are."""

from __future__ import annotations

import os
import time
from pathlib import Path
from statistics import median
from typing import Any

from tests.promises.readings import Page
from tests.promises.scenarios import run
from ullage.metrics import POOL_CHECKOUTS, POOL_WAIT
from ullage.probe.process import Process, start
from ullage.settings import ProbeSettings

ENGINE = "mysql://db/shop"
# Exact in binary, so that sums can be compared for equality.
WAITED = 0.25
SCRAPES = 21


def main(directory: str, writers: int) -> dict[str, Any]:
    """Fork the writers, and time a scrape after the first hundred and after all."""
    process = start(ProbeSettings(directory=Path(directory), role="worker"))
    for number in range(1, writers + 1):
        _fork_writer(process)
        if number == 100:
            early_seconds, early_files = _scrape_seconds(directory), len(list(Path(directory).iterdir()))
    page = Page.read(Path(directory))
    return {
        "early_seconds": early_seconds,
        "late_seconds": _scrape_seconds(directory),
        "early_files": early_files,
        "late_files": len(list(Path(directory).iterdir())),
        "checkouts": page.total("sqlalchemy_pool_checkouts_total"),
        "waits": page.total("sqlalchemy_pool_checkout_wait_seconds_count"),
        "wait_seconds": page.total("sqlalchemy_pool_checkout_wait_seconds_sum"),
    }


def _fork_writer(process: Process) -> None:
    pid = os.fork()
    if pid == 0:
        try:
            _write(process)
            os._exit(0)
        finally:
            os._exit(1)
    _, status = os.waitpid(pid, 0)
    if status:
        raise RuntimeError(f"writer {pid} ended with status {status}")


def _write(process: Process) -> None:
    words = process.writer.words
    checkouts = process.writer.counter(POOL_CHECKOUTS, ENGINE)
    wait = process.writer.counter(POOL_WAIT, ENGINE)
    bucket, total = wait + POOL_WAIT.buckets.index(WAITED), wait + len(POOL_WAIT.buckets) + 1
    words[checkouts] += 1.0
    words[bucket] += 1.0
    words[total] += WAITED


def _scrape_seconds(directory: str) -> float:
    seconds = []
    for _ in range(SCRAPES):
        started = time.perf_counter()
        Page.read(Path(directory))
        seconds.append(time.perf_counter() - started)
    return median(seconds)


if __name__ == "__main__":
    run(main)
