"""What the scenarios about workers share: the probe, the jobs' module, a queue and a worker, in this process."""

from __future__ import annotations

import os
from types import ModuleType
from typing import Any

from redis import Redis
from rq import Queue
from rq.job import Job

import ullage


def prepare(directory: str, database: str, **settings: str) -> ModuleType:
    """Install the probe and import the jobs with their table made."""
    os.environ["JOBS_DATABASE"] = database
    assert ullage.install({"ULLAGE_DIR": directory, "ULLAGE_ROLE": "worker", **settings})
    from tests.promises import jobs

    jobs.Base.metadata.create_all(jobs.engine)
    return jobs


def new_queue(redis: str, name: str = "jobs") -> Queue:
    """Return an empty queue of this process's own."""
    queue = Queue(f"{name}-{os.getpid()}", connection=Redis.from_url(redis))
    queue.empty()
    return queue


def work(kind: type, queue: Queue) -> None:
    """Perform what is in the queue."""
    kind([queue], connection=queue.connection).work(burst=True, logging_level="CRITICAL")


def status_of(job: Job) -> str:
    """Return RQ's status of a job."""
    status: Any = job.get_status(refresh=True)
    return str(getattr(status, "value", status))


def perform(kind: type, queue: Queue, function: Any, *args: Any, **options: Any) -> Job:
    """Perform one job and return it."""
    job = queue.enqueue(function, args=args, **options)
    work(kind, queue)
    job.refresh()
    return job
