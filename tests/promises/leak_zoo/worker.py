"""`python -m tests.promises.leak_zoo.worker KIND REDIS_URL QUEUE`: one burst of a worker of a kind."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

import rq
from redis import Redis
from rq.worker import SimpleWorker, Worker

import ullage

MODULES = ("sessions", "connections", "endings", "contexts")


def _close_all(kind: str) -> None:
    endings = import_module("tests.promises.leak_zoo.endings")
    sessions = getattr(endings, f"CLOSED_IN_{kind}")
    while sessions:
        sessions.pop().close()


class PerformWorker(Worker):
    """Cleans up in its own perform_job."""

    def perform_job(self, *args: Any, **kwargs: Any) -> bool:
        """Perform a job and clean up."""
        try:
            return super().perform_job(*args, **kwargs)
        finally:
            _close_all("PERFORM")


class ExecuteWorker(SimpleWorker):
    """Cleans up in its own execute_job."""

    def execute_job(self, *args: Any, **kwargs: Any) -> None:
        """Perform a job and clean up."""
        try:
            super().execute_job(*args, **kwargs)
        finally:
            _close_all("EXECUTE")


def main(kind: str, url: str, queue: str) -> None:
    """Work until the queue is empty."""
    ullage.install()
    if kind != "SpawnWorker":  # its work horses start afresh in any case
        for module in MODULES:
            import_module(f"tests.promises.leak_zoo.{module}")
    connection = Redis.from_url(url)
    if kind == "WorkerPool":
        from rq.worker_pool import WorkerPool

        WorkerPool([queue], connection, num_workers=1).start(burst=True, logging_level="WARNING")
        return
    kinds = {"PerformWorker": PerformWorker, "ExecuteWorker": ExecuteWorker}
    worker_class = kinds.get(kind) or getattr(rq.worker, kind)
    worker_class([rq.Queue(queue, connection=connection)], connection=connection).work(
        burst=True, logging_level="WARNING"
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
