"""A job with one query under SimpleWorker, with the probes and without, on a Redis of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import rq.worker
from redis import Redis as Client
from rq import Queue, SimpleWorker
from rq.job import Job
from sqlalchemy import create_engine, text
from sqlalchemy.pool import Pool, SingletonThreadPool
from sqlalchemy.pool.base import _ConnectionRecord

import ullage
from tests.bench.child import run
from tests.bench.paired import Numbers, Switch, Variant, compare
from tests.bench.shop import check_probes
from tests.servers import Redis
from ullage.probe.process import start
from ullage.settings import ProbeSettings

KINDS = (Pool, SingletonThreadPool, _ConnectionRecord, rq.worker.BaseWorker)
engine = create_engine("sqlite://", pool_logging_name="jobs")


def query() -> None:
    """Check a connection out and return it."""
    with engine.connect() as connection:
        connection.execute(text("SELECT 1"))


def main(segments: Path, databases: Path, peer: Path, rounds: int, cycles: int) -> dict[str, Numbers]:
    """Return base and added nanoseconds a job. A worker is instrumented when it is made: so there are two."""
    settings = {"ULLAGE_DIR": str(segments), "ULLAGE_ROLE": "worker"}
    probes = Switch(lambda: ullage.install(settings), KINDS)
    with Redis() as server:
        connection = Client.from_url(server.url)
        queue = Queue("bench", connection=connection)
        workers: dict[bool, Any] = {True: SimpleWorker([queue], connection=connection)}
        probes.off()
        workers[False] = SimpleWorker([queue], connection=connection)
        used = [workers[False]]

        def cycle() -> None:
            job = Job.create(query, connection=connection, origin=queue.name, result_ttl=0)
            job.save()
            used[0].execute_job(job, queue)

        def put_on() -> None:
            probes.on()
            used[0] = workers[True]

        def take_off() -> None:
            probes.off()
            used[0] = workers[False]

        put_on()
        cycle()
        take_off()
        variants = [Variant("control", probes.rewrite, probes.rewrite), Variant("ullage", put_on, take_off)]
        found = compare(cycle, variants, rounds=rounds, cycles=cycles)
    check_probes(start(ProbeSettings()))
    return found


if __name__ == "__main__":
    run(main)
