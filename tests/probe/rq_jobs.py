"""Jobs and workers for the tests of the RQ probe, and what they read of it."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from flask import Flask
from redis import Redis
from rq import Queue, Retry
from rq.command import send_stop_job_command
from rq.job import Job
from rq.worker import SimpleWorker, Worker
from sqlalchemy import create_engine
from sqlalchemy.pool import QueuePool

from tests.probe.conftest import Measured

HERE = "tests.probe.rq_jobs"
JOBS = "rq_jobs_total"
engine = create_engine("sqlite://", poolclass=QueuePool, pool_size=20, pool_logging_name="jobs")
held: list[Any] = []


def perform(queue: Queue, function: Any, *args: Any, kind: type = SimpleWorker, **options: Any) -> Job:
    """Perform one job and return it."""
    job = queue.enqueue(function, args=args, **options)
    work(queue, kind)
    return job


def work(queue: Queue, kind: type = SimpleWorker) -> None:
    """Perform what is in the queue."""
    kind([queue], connection=queue.connection).work(burst=True, logging_level="CRITICAL")


def value(measured: Measured, name: str, function: str, **labels: str) -> float | None:
    """Return the sample of one of this module's functions."""
    return measured.value(name, function=f"{HERE}.{function}", **labels)


def outcomes(measured: Measured) -> dict[str, float]:
    """Return the number of jobs by outcome."""
    return measured.by(JOBS, "outcome")


def leaks(measured: Measured) -> dict[str, float]:
    """Return the number of leaks by kind."""
    return measured.by("ullage_leaks_total", "kind")


def nothing() -> str:
    return "done"


def fail() -> None:
    raise ValueError("on purpose")


def ask_for_retry() -> Retry:
    return Retry(max=1)


def kill_itself() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def die_of_a_real_time_signal() -> None:
    os.kill(os.getpid(), signal.SIGRTMIN + 3)


def exit_at_once() -> None:
    os._exit(0)


def stop_itself(url: str, job_id: str) -> None:
    with Redis.from_url(url) as connection:
        send_stop_job_command(connection, job_id)
    signal.pause()


def fail_then_kill_itself(path: str) -> None:
    if not Path(path).exists():
        Path(path).touch()
        raise ValueError("the first time")
    os.kill(os.getpid(), signal.SIGKILL)


def check_out() -> None:
    held.append(engine.connect())


def fork_and_return() -> None:
    pid = os.fork()
    if pid:
        os.waitpid(pid, 0)


def check_out_in_child() -> None:
    child = multiprocessing.get_context("fork").Process(target=check_out)
    child.start()
    child.join()


def build_app() -> None:
    Flask("made in a job")


class Noisy:
    """Writes down in which process it was unpickled."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[[str], str], tuple[str]]:
        return _note_process, (self.path,)


def _note_process(path: str) -> str:
    with Path(path).open("a") as file:
        file.write(f"{os.getpid()}\n")
    return path


def _take(_path: str) -> None:
    pass


def close_held(*_: Any) -> None:
    while held:
        held.pop().close()


class CleaningPerform(Worker):
    """Cleans up in perform_job."""

    def perform_job(self, *args: Any, **kwargs: Any) -> bool:
        """Perform a job and clean up."""
        try:
            return super().perform_job(*args, **kwargs)
        finally:
            close_held()


class CleaningExecute(SimpleWorker):
    """Cleans up in execute_job."""

    def execute_job(self, *args: Any, **kwargs: Any) -> None:
        """Perform a job and clean up."""
        super().execute_job(*args, **kwargs)
        close_held()


class RaisingPerform(Worker):
    """Fails where RQ does not expect it."""

    def perform_job(self, *args: Any, **kwargs: Any) -> bool:
        """Perform a job and fail."""
        super().perform_job(*args, **kwargs)
        raise OSError("Redis is gone")
