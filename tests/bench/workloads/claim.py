"""What a forked child pays for a segment of its own, with its parent's hint, beside other live processes."""

from __future__ import annotations

import mmap
import os
import time
from collections.abc import Callable
from pathlib import Path

from tests.bench.child import run
from tests.bench.shop import ROUTES, Shop, check_probes, gunicorn_environ, measured, request
from tests.bench.workloads.fleet import fleet
from ullage.probe.process import Process


def main(segments: Path, databases: Path, peer: Path, forks: int, others: int) -> dict[str, list[int]]:
    """Return nanoseconds of each child: for the claim itself, and for all that the fork costs it."""
    with fleet(segments, databases, others):
        return _Forks(segments, databases).measure(forks)


class _Forks:
    """A worker that has its application loaded, and forks a child for each job."""

    def __init__(self, segments: Path, databases: Path) -> None:
        self._times = memoryview(mmap.mmap(-1, 64)).cast("q")  # children write, the parent reads
        os.register_at_fork(after_in_child=self._note_start)
        self._process = measured(segments, "worker")
        os.register_at_fork(after_in_child=self._note_end)
        self._shop = Shop.on_sqlite(databases)
        self._environ = gunicorn_environ()
        _time(self._process, self._times)

    def measure(self, forks: int) -> dict[str, list[int]]:
        """Fork the children one after another."""
        self._work()
        fork(self._work)  # fills the file that all others adopt
        taken: dict[str, list[int]] = {"claim": [], "hook": []}
        for _ in range(forks):
            fork(lambda: check_probes(self._process))
            started, ended, claim = self._times[:3]
            taken["hook"].append(ended - started)
            taken["claim"].append(claim)
        return taken

    def _work(self) -> None:
        for route in range(ROUTES):
            request(self._shop.app, self._environ, route)

    def _note_start(self) -> None:
        self._times[0] = time.process_time_ns()

    def _note_end(self) -> None:
        self._times[1] = time.process_time_ns()


def _time(process: Process, times: memoryview[int]) -> None:
    original = process.after_fork_in_child

    def after_fork_in_child() -> None:
        started = time.process_time_ns()
        original()
        times[2] = time.process_time_ns() - started

    process.after_fork_in_child = after_fork_in_child


def fork(work: Callable[[], object]) -> None:
    """Do some work in a child that ends as a work horse does."""
    pid = os.fork()
    if pid == 0:
        try:
            work()
            os._exit(0)
        finally:
            os._exit(1)
    _, status = os.waitpid(pid, 0)
    if status:
        raise RuntimeError(f"child {pid} ended with status {status}")


if __name__ == "__main__":
    run(main)
