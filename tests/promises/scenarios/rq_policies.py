"""What the policies do to jobs that leave rows, connections and locks behind."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import rq.worker
from rq import Queue, Retry
from rq.job import Callback, Job
from rq.worker import SimpleWorker

from tests.promises.readings import Page
from tests.promises.scenarios import run
from tests.promises.scenarios.rq_jobs import new_queue, perform, prepare, status_of, work
from tests.promises.workers import series


def corruption(directory: str, redis: str, database: str, policy: str, has_flushed: bool) -> dict[str, Any]:
    """Let a job forget its row and the next in the same process commit, and return whose rows are there."""
    jobs = prepare(directory, database, ULLAGE_POLICY=policy)
    queue = new_queue(redis)
    first = perform(SimpleWorker, queue, jobs.add_and_forget, 1, has_flushed)
    second = perform(SimpleWorker, queue, jobs.add_and_commit, 2)
    with jobs.engine.connect() as connection:
        writers = [row[0] for row in connection.execute(jobs.select(jobs.Row.writer).order_by(jobs.Row.id))]
    page = Page.read(Path(directory))
    return {
        "statuses": [status_of(first), status_of(second)],
        "writers": writers,
        "levels": page.by("sqlalchemy_unreleased_sessions_total", "level"),
    }


def exhaustion(directory: str, redis: str, database: str, policy: str, count: int) -> dict[str, Any]:
    """Run a job that leaks as often as that, on a pool of five, and tell who was named before the first failure."""
    jobs = prepare(directory, database, ULLAGE_POLICY=policy)
    queue = new_queue(redis)
    statuses: list[str] = []
    named: list[Any] = []
    error = ""
    for _ in range(count):
        before = [(labels["function"], labels["site"], value) for labels, value in _leaks(directory)]
        job = perform(SimpleWorker, queue, jobs.leak_connection)
        statuses.append(status_of(job))
        if statuses[-1] == "failed" and not named:
            named, error = before, _error_of(job)
    return {
        "finished": statuses.count("finished"),
        "first_failure": statuses.index("failed") + 1 if "failed" in statuses else None,
        "named": named,
        "error": error,
        "leaks": sum(value for _, value in _leaks(directory)),
        "used": jobs.engine.pool.checkedout(),
        "timeouts": Page.read(Path(directory)).total("sqlalchemy_pool_timeouts_total"),
    }


def _leaks(directory: str) -> list[tuple[dict[str, str], float]]:
    return [pair for pair in series(Path(directory), "sqlalchemy_unreleased_sessions_total") if pair[1]]


def strict(directory: str, redis: str, database: str, worker: str) -> dict[str, Any]:
    """Fail jobs through RQ: with a failure callback, a dependent, a retry; a session and a row are left."""
    jobs = prepare(directory, database, ULLAGE_POLICY="strict")
    kind, queue = getattr(rq.worker, worker), new_queue(redis)
    failing = queue.enqueue(jobs.leak_connection, on_failure=Callback(jobs.note_failure))
    dependent = queue.enqueue(jobs.nothing, depends_on=failing)
    retried = queue.enqueue(jobs.leak_session, retry=Retry(max=2))
    dirty = queue.enqueue(jobs.add_and_forget, 1, False)
    clean = queue.enqueue(jobs.add_and_commit, 2)
    work(kind, queue)
    notes = [note.decode() for note in queue.connection.lrange(f"failures:{failing.id}", 0, -1)]
    page = Page.read(Path(directory))
    return {
        "failing": status_of(failing),
        "error": _error_of(failing),
        "notes": notes,
        "dependent": status_of(dependent),
        "retried": status_of(retried),
        "runs": page.by("rq_jobs_total", "outcome", function="tests.promises.jobs.leak_session"),
        "dirty": status_of(dirty),
        "dirty_error": _error_of(dirty),
        "clean": status_of(clean),
        "leaks": page.by("sqlalchemy_unreleased_sessions_total", "function"),
        "used": jobs.engine.pool.checkedout(),
    }


def _error_of(job: Job) -> str:
    job.refresh()
    result = job.latest_result()
    return (result.exc_string if result else job.exc_info) or ""


def kept(directory: str, redis: str, database: str, policy: str) -> dict[str, Any]:
    """Take locks in every legitimate way, and one in none, work on, and tell which are still held by whom."""
    jobs = prepare(
        directory,
        database,
        ULLAGE_POLICY=policy,
        ULLAGE_POLICY_OVERRIDES=f"site:jobs.py:take_lock_at_site=ignore,queue:locks-{os.getpid()}=ignore,"
        "function:tests.promises.jobs.take_lock_in_function=ignore",
    )
    queue, declared_queue = new_queue(redis), new_queue(redis, "locks")
    taken = {"older than the jobs": jobs.take_lock("older than the jobs")}
    for name, where, function in (
        ("declared by its function", queue, jobs.take_declared_lock),
        ("declared by its site", queue, jobs.take_lock_at_site),
        ("declared by a setting", queue, jobs.take_lock_in_function),
        ("declared by its queue", declared_queue, jobs.take_lock),
        ("another thread's", queue, jobs.take_lock_in_thread),
    ):
        taken[name] = _take(where, function, name)
        jobs.engine.pool._max_overflow += 1  # each keeps its connection
    jobs.engine.pool._max_overflow += 1
    undeclared = _take(queue, jobs.take_lock, "undeclared")
    for writer in range(10):
        assert status_of(perform(SimpleWorker, queue, jobs.write_in_session, writer)) == "finished"
    with jobs.engine.connect() as connection:
        owners = {
            name: connection.execute(jobs.text("SELECT IS_USED_LOCK(:name)"), {"name": name}).scalar_one()
            for name in [*taken, "undeclared"]
        }
    return {"taken": taken, "undeclared": undeclared, "owners": owners, "leaks": _sites(directory)}


def _take(queue: Queue, function: Any, name: str) -> int | None:
    job = perform(SimpleWorker, queue, function, name)
    return job.return_value()


def _sites(directory: str) -> dict[str, float]:
    leaks = [(labels, value) for labels, value in _leaks(directory) if labels["level"] != "lingering"]
    return {f"{labels['function']} {labels['site']}": value for labels, value in leaks}


def main(what: str, **arguments: Any) -> dict[str, Any]:
    """Run one of the above."""
    found: dict[str, Any] = {"corruption": corruption, "exhaustion": exhaustion, "strict": strict, "kept": kept}[what](
        **arguments
    )
    return found


if __name__ == "__main__":
    run(main)
