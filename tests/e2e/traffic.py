"""Requests at a steady rate from outside, and jobs from inside, while something happens to the release."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import httpx

from tests.e2e.cluster import Release, ingress_url
from tests.servers import wait_for

REQUESTS_PER_SECOND = 20
SENDERS = 4

# In a worker's container: the application's own Redis and functions.
ENQUEUE = """
import os, sys
from redis import Redis
from rq import Queue
queue = Queue(sys.argv[1], connection=Redis.from_url(os.environ["RQ_REDIS_URL"]))
for _ in range(int(sys.argv[4])):
    arguments = map(float, filter(None, [sys.argv[3]]))
    print(queue.enqueue(sys.argv[2], *arguments, job_timeout=170, result_ttl=3600).id)
"""
STATUSES = """
import json, os, sys
from redis import Redis
from rq.job import Job
connection = Redis.from_url(os.environ["RQ_REDIS_URL"])
jobs = Job.fetch_many(sys.argv[1:], connection=connection)
print(json.dumps({id: str(job.get_status().value) if job else "gone" for id, job in zip(sys.argv[1:], jobs)}))
"""


@dataclass
class Answers:
    """What came back: statuses, and what went wrong without one."""

    statuses: Counter[int] = field(default_factory=Counter)
    errors: list[str] = field(default_factory=list)

    @property
    def failed(self) -> list[str]:
        """Requests that a user would call failed."""
        bad = [f"{count} x {status}" for status, count in self.statuses.items() if status >= 400]
        return bad + self.errors


@contextmanager
def requests(host: str, paths: tuple[str, ...] = ("/orders", "/livez")) -> Iterator[Answers]:
    """Send requests through the ingress until the block ends."""
    # The ingress controller learns of a release a moment after its pods are ready.
    wait_for(lambda: httpx.get(f"{ingress_url()}/livez", headers={"Host": host}).is_success, timeout=30, what=host)
    answers = Answers()
    stop = threading.Event()
    senders = [threading.Thread(target=_send, args=(host, paths, answers, stop)) for _ in range(SENDERS)]
    for sender in senders:
        sender.start()
    try:
        yield answers
    finally:
        stop.set()
        for sender in senders:
            sender.join()


def _send(host: str, paths: tuple[str, ...], answers: Answers, stop: threading.Event) -> None:
    pause = SENDERS / REQUESTS_PER_SECOND
    number = 0
    with httpx.Client(base_url=ingress_url(), headers={"Host": host}, timeout=20) as client:
        due = time.monotonic()
        while not stop.is_set():
            number += 1
            try:
                answers.statuses[client.get(paths[number % len(paths)]).status_code] += 1
            except httpx.HTTPError as error:
                answers.errors.append(f"{type(error).__name__}: {error}")
            due += pause
            stop.wait(max(0, due - time.monotonic()))


def enqueue(release: Release, queue: str, function: str, argument: float | None, count: int = 1) -> list[str]:
    """Enqueue jobs from a worker's container, with one argument or none, and return their ids."""
    given = "" if argument is None else str(argument)
    printed = release.namespace.python(release.pod("worker"), ENQUEUE, queue, function, given, str(count))
    return printed.split()


def statuses(release: Release, ids: list[str]) -> dict[str, str]:
    """Return the jobs' statuses by id."""
    found: dict[str, str] = json.loads(release.namespace.python(release.pod("worker"), STATUSES, *ids))
    return found
