"""Children of processes that have connections to the database: work horses, multiprocessing, an application context."""

from __future__ import annotations

import multiprocessing
import os
from pathlib import Path
from typing import Any

from rq.worker import Worker
from sqlalchemy import text

from tests.promises.readings import Page
from tests.promises.scenarios import run
from tests.promises.scenarios.rq_jobs import new_queue, prepare, status_of, work

BEFORE, AFTER = "SELECT 'before the forks'", "SELECT 'after the forks'"


def horses(directory: str, redis: str, database: str, count: int) -> dict[str, Any]:
    """Fork work horses from a worker amid two transactions: on a connection, and in the jobs' scoped session."""
    jobs = prepare(directory, database)
    queue = new_queue(redis)
    writing = jobs.engine.connect()
    writing.execute(jobs.Row.__table__.insert(), {"writer": -1})
    jobs.Session.add(jobs.Row(writer=-2))
    jobs.Session.flush()
    parents = [writing.execute(text("SELECT CONNECTION_ID()")).scalar_one(), jobs.query_without_end()]
    writing.execute(text(BEFORE))
    jobs.Session.execute(text(BEFORE))
    # Half of them clean up, the others end with a transaction under way.
    done = [
        queue.enqueue(jobs.write_in_session if n % 2 else jobs.query_without_end, *[n][: n % 2]) for n in range(count)
    ]
    work(Worker, queue)
    writing.execute(text(AFTER))
    jobs.Session.execute(text(AFTER))
    writing.commit()
    jobs.Session.commit()
    writers = [row[0] for row in jobs.Session.execute(text("SELECT writer FROM rows_of_jobs ORDER BY writer"))]
    return {
        "parents": parents,
        "statuses": _count([status_of(job) for job in done]),
        "children": [job.return_value() for job in done],
        "writers": writers,
        "leaks": Page.read(Path(directory)).by("ullage_leaks_total", "kind"),
    }


def tls(directory: str, redis: str, database: str, ca: str, count: int, fork_safety: str) -> dict[str, Any]:
    """Perform jobs that query over TLS in horses of a worker that has used its connections before."""
    os.environ["JOBS_CA"] = ca
    jobs = prepare(directory, database, ULLAGE_FORK_SAFETY=fork_safety)
    queue = new_queue(redis)
    idle = [jobs.engine.connect() for _ in range(3)]
    for connection in idle:
        connection.close()
    jobs.use_tls()
    done = [queue.enqueue(jobs.use_tls, job_timeout=5) for _ in range(count)]
    work(Worker, queue)
    return {
        "statuses": _count([status_of(job) for job in done]),
        "ciphers": _count([str(job.return_value()) for job in done if status_of(job) == "finished"]),
        "connect_errors": Page.read(Path(directory)).total("sqlalchemy_pool_connect_errors_total"),
        "stale": Page.read(Path(directory)).total("sqlalchemy_pool_stale_connections_total"),
    }


def _query(_n: int) -> tuple[int, str]:
    from tests.promises import jobs

    return os.getpid(), jobs.use_tls()


def pool_of_processes(directory: str, database: str, ca: str, count: int) -> dict[str, Any]:
    """Query over TLS in forked multiprocessing children of a process with a transaction under way."""
    os.environ["JOBS_CA"] = ca
    jobs = prepare(directory, database)
    jobs.use_tls()
    with multiprocessing.get_context("fork").Pool(4, maxtasksperchild=10) as pool:
        found = pool.map(_query, range(count), chunksize=1)
    return {
        "queries": len([cipher for _, cipher in found if cipher]),
        "children": len({pid for pid, _ in found}),
        "parent": jobs.use_tls(),
    }


def app_context(directory: str, redis: str, database: str, count: int) -> dict[str, Any]:
    """Work inside an application context whose session is amid a transaction: `with app.app_context(): work()`."""
    os.environ["JOBS_DATABASE"] = database
    jobs = prepare(directory, database)
    from tests.promises import flask_jobs

    queue = new_queue(redis)
    with flask_jobs.app.app_context():
        parent = flask_jobs.connection_id()
        done = [queue.enqueue(flask_jobs.use_session, n) for n in range(count)]
        work(Worker, queue)
        assert flask_jobs.connection_id() == parent
        flask_jobs.db.session.commit()
        rows = flask_jobs.db.session.execute(text("SELECT COUNT(*) FROM rows_of_jobs")).scalar_one()
    return {
        "parent": parent,
        "statuses": _count([status_of(job) for job in done]),
        "children": [job.return_value() for job in done],
        "rows": rows,
        "table": jobs.Row.__tablename__,
    }


def _count(values: list[str]) -> dict[str, int]:
    return {value: values.count(value) for value in set(values)}


def main(what: str, **arguments: Any) -> dict[str, Any]:
    """Run one of the above."""
    scenarios = {"horses": horses, "tls": tls, "pool_of_processes": pool_of_processes, "app_context": app_context}
    found: dict[str, Any] = scenarios[what](**arguments)
    return found


if __name__ == "__main__":
    run(main)
