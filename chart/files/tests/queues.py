"""Have every queue add two numbers: python queues.py SECONDS QUEUE ..., with Redis at RQ_REDIS_URL."""

import operator
import os
import sys
import time

from redis import Redis
from rq import Queue

PENDING = ("queued", "started", "deferred", "scheduled")


def status_of(job):
    """Return the job's state; RQ gives a string or an enumeration, by its version."""
    state = job.get_status(refresh=True)
    return getattr(state, "value", state)


def check(connection, name, seconds):
    """Put a job on a queue, wait for its result, and remove it; return what went wrong, or nothing."""
    # Any worker can import it, whatever application it runs.
    job = Queue(name, connection=connection).enqueue(
        operator.add, 20, 3, job_timeout=30, result_ttl=300, failure_ttl=300
    )
    try:
        deadline = time.monotonic() + seconds
        while (state := status_of(job)) in PENDING and time.monotonic() < deadline:
            time.sleep(0.2)
        if state != "finished":
            return f"queue {name}: the job is {state} after {seconds:g} s"
        if job.return_value(refresh=True) != 23:
            return f"queue {name}: 20 + 3 is {job.return_value()!r}"
    finally:
        job.delete()
    print(f"ok: queue {name}")
    return ""


def main(seconds, names):
    connection = Redis.from_url(os.environ["RQ_REDIS_URL"], socket_connect_timeout=10, socket_timeout=30)
    problems = [problem for name in names if (problem := check(connection, name, seconds))]
    if problems:
        sys.exit(f"failed: {'; '.join(problems)}. See the workers' logs, and rq_queue_workers of the observer")


main(float(sys.argv[1]), sys.argv[2:])
