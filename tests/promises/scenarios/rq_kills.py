"""Work horses and workers that are killed at random moments, while their jobs check connections out and in.

The job keeps an account of its own in memory that it shares with this process, and so known after a `kill -9`.
"""

from __future__ import annotations

import ctypes
import os
import random
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

import pymysql
from redis import Redis
from rq import Queue
from rq.worker import Worker
from sqlalchemy.engine import make_url

from tests.promises import kill_jobs
from tests.promises.kill_jobs import BEGUN, DONE, GO, HORSE, RETURNED, RETURNING, account
from tests.promises.readings import Page, cells_of, sum_of
from tests.promises.scenarios import run
from tests.promises.scenarios.rq_jobs import new_queue, prepare
from tests.servers import wait_for

PR_SET_CHILD_SUBREAPER = 36
# A kill strikes so long after so many checkouts: from the job's first instructions to well into its use of them.
MOST_SECONDS = 0.02
MOST_CHECKOUTS = 8
FUNCTION = "tests.promises.kill_jobs.use_connections"
COUNTED = {
    "jobs": "rq_jobs_total",
    "checkouts": "sqlalchemy_pool_checkouts_total",
    "leaks": "ullage_leaks_total",
}


class Kills:
    """Kills horses, workers, and both; and compares the counters with the account after each kill."""

    def __init__(self, directory: str, redis: str, seed: int) -> None:
        self.directory = Path(directory)
        self.redis = redis
        self.queue: Queue = new_queue(redis)
        self.random = random.Random(seed)
        self.worker = 0
        self.found: dict[str, Any] = {
            "horses": 0,
            "workers": 0,
            "both": 0,
            "certain": 0,
            "held": 0,
            "least_held": 0,
            "died": 0.0,
        }
        self.wrong: list[str] = []
        self.settled = self.read()

    def read(self) -> dict[str, float]:
        """Return the counters."""
        cells, _ = cells_of(self.directory, time.monotonic())
        died = sum(values[0] for key, values in cells.items() if key[0] == COUNTED["leaks"] and key[2:] == (DIED,))
        return {**{name: sum_of(cells, metric) for name, metric in COUNTED.items()}, "died": died}

    def kill(self) -> None:
        """Let a job begin, kill somebody, and compare."""
        self.start_worker()
        victim = self.random.choices(("horses", "workers", "both"), (8, 1, 1))[0]
        account[:] = kill_jobs.ZEROS
        self.queue.enqueue(FUNCTION, self.random.getrandbits(32), job_timeout=60)
        wait_for(lambda: account[HORSE], timeout=20, what="the job", interval=0.0005)
        checkouts = self.random.randrange(MOST_CHECKOUTS)
        wait_for(lambda: account[DONE] >= checkouts, timeout=20, what="the job's checkouts", interval=0.0005)
        time.sleep(self.random.uniform(0.0, MOST_SECONDS))
        horse = int(account[HORSE])
        if victim != "horses":
            os.kill(self.worker, signal.SIGKILL)
            os.waitpid(self.worker, 0)
            self.worker = 0
        if victim == "workers":
            account[GO] = 1
        else:
            os.kill(horse, signal.SIGKILL)
        self.wait_for_end_of(horse, victim)
        self.found[victim] += 1
        self.compare(victim)

    def wait_for_end_of(self, horse: int, victim: str) -> None:
        """Wait until the horse is gone, and counted by its worker where that lives."""
        if victim == "horses":
            wanted = self.settled["jobs"] + 1
            with suppress(TimeoutError):  # a lost count: the comparison says so
                wait_for(lambda: self.read()["jobs"] >= wanted, timeout=10, what="the count", interval=0.001)
        else:
            os.waitpid(horse, 0)  # this process adopted it

    def start_worker(self) -> None:
        """Fork a worker unless there is one."""
        if self.worker:
            return
        self.worker = os.fork()
        if not self.worker:
            self._work()

    def _work(self) -> NoReturn:
        try:
            connection = Redis.from_url(self.redis)
            queue = Queue(self.queue.name, connection=connection)
            Worker([queue], connection=connection).work(logging_level="CRITICAL")
        finally:
            os._exit(1)

    def compare(self, victim: str) -> None:
        """Compare what was counted with the account; an operation under way at the kill may count or not."""
        now = self.read()
        begun, done, returning, returned = (int(account[word]) for word in (BEGUN, DONE, RETURNING, RETURNED))
        is_dead = victim != "workers"
        limits = {
            "jobs": (0, 0) if victim == "both" else (1, 1),
            "checkouts": (done, begun),
            "died": (done - returning, begun - returned) if is_dead else (0, 0),
            "leaks": (done - returning, begun - returned) if is_dead else (0, 0),
        }
        for name, (low, high) in limits.items():
            grown = now[name] - self.settled[name]
            if not low <= grown <= high:
                self.wrong.append(f"{victim}: {name} grew by {grown:g}, the truth is {low} to {high}")
        is_certain = (done, returned) == (begun, returning)
        self.found["certain"] += is_certain
        self.found["held"] += begun - returned if is_dead else 0
        self.found["least_held"] += done - returning if is_dead else 0
        self.found["died"] += now["died"] - self.settled["died"]
        self.settled = now

    def end(self) -> None:
        """End the worker."""
        if self.worker:
            os.kill(self.worker, signal.SIGKILL)
            os.waitpid(self.worker, 0)


DIED = "died_with_process"


def main(directory: str, redis: str, database: str, kills: int, seed: int) -> dict[str, Any]:
    """Kill so many, then compare the gauges with the server's own list of connections."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    jobs = prepare(directory, database)
    jobs.engine.dispose()
    killing = Kills(directory, redis, seed)
    try:
        for _ in range(kills):
            killing.kill()
        levels = _levels(killing, database)
    finally:
        killing.end()
    return {
        **killing.found,
        "wrong": killing.wrong[:20],
        "levels": levels,
        "files": len(list(Path(directory).glob("*.seg"))),
        "dropped": Page.read(Path(directory)).total("ullage_dropped_series_total"),
    }


def _levels(killing: Kills, database: str) -> dict[str, float]:
    """Let a job hold three connections and have given two back, and read gauges and server."""
    killing.start_worker()
    account[:] = kill_jobs.ZEROS
    killing.queue.enqueue("tests.promises.kill_jobs.hold", 3, 2)
    wait_for(lambda: account[HORSE], timeout=20, what="the holding job")
    page = Page.read(killing.directory)
    url = make_url(database)
    wait_for(lambda: _connections(url) == 5, timeout=10, what="the server's end of killed connections")
    found = {
        "idle": page.total("sqlalchemy_pool_connections", state="idle"),
        "used": page.total("sqlalchemy_pool_connections", state="used"),
        "server": _connections(url),
    }
    account[GO] = 1
    return found


def _connections(url: Any) -> int:
    """Count the application's connections to the database as the server lists them, this one left out."""
    connection = pymysql.connect(
        host=url.host, port=url.port, user=url.username, password=url.password, database=url.database
    )
    with connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT COUNT(*) FROM information_schema.processlist WHERE db = %s AND id <> CONNECTION_ID()",
            (url.database,),
        )
        return int(cursor.fetchone()[0])


if __name__ == "__main__":
    run(main)
