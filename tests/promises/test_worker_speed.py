from __future__ import annotations

import itertools
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import pytest
from redis import Redis
from rq import Queue

from tests import servers

pytestmark = [pytest.mark.promise, pytest.mark.timeout(900)]

ROOT = Path(__file__).parents[2]
# The job of a Flask application as they are: it needs the application, so importing it builds one.
JOB = """
from pathlib import Path
from sqlalchemy import text
from app import db
from app.web import create_app

app = create_app()

def count():
    with app.app_context():
        db.Session.execute(text("SELECT 1")).scalar()
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()[1:]
    kilobytes = {line.split(":")[0]: int(line.split()[1]) for line in lines}
    return [kilobytes["Rss"], kilobytes["Private_Clean"] + kilobytes["Private_Dirty"]]
"""
WORKERS = {
    "rq worker": ["rq.cli", "worker"],
    "ullage worker": ["ullage", "worker", "--preload", "speed_job"],
    "SimpleWorker": ["rq.cli", "worker", "-w", "rq.worker.SimpleWorker"],
}


@dataclass
class Measured:
    """One worker's numbers, one for each job."""

    seconds: list[float] = field(default_factory=list)
    resident_bytes: list[float] = field(default_factory=list)
    private_bytes: list[float] = field(default_factory=list)


class Bench:
    """Runs the job under one worker after the other."""

    def __init__(self, directory: Path, segments: Path, redis: Redis, url: str) -> None:
        self.directory = directory
        self.redis = redis
        self.url = url
        foreign = ("ULLAGE_", "PYTHON")
        self.environ = {name: value for name, value in os.environ.items() if not name.startswith(foreign)} | {
            "DATABASE_URL": f"sqlite:///{directory / 'app.db'}",
            # Bytecode is cached from the first job on, as in an image that was built well.
            "PYTHONPYCACHEPREFIX": str(directory / "bytecode"),
            "PYTHONPATH": os.pathsep.join([str(directory), str(ROOT / "exporter"), str(ROOT)]),
            "REDIS_URL": url,
            "ULLAGE_DIR": str(segments),
        }
        (directory / "speed_job.py").write_text(JOB)

    def measure(self, name: str, jobs: int, found: Measured) -> None:
        """Run one job more than asked for under a worker: the clock starts at the end of the first."""
        queue = Queue(f"speed-{uuid.uuid4().hex}", connection=self.redis)
        waiting = [queue.enqueue("speed_job.count") for _ in range(jobs + 1)]
        command = [sys.executable, "-m", *WORKERS[name], "--url", self.url, "--burst", queue.name]
        done = subprocess.run(
            servers.owned_command(command),
            cwd=self.directory,
            env=self.environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        for job in waiting:
            job.refresh()
        assert all(job.is_finished for job in waiting), f"{name}:\n{done.stdout}{done.stderr}"
        found.seconds += [
            (job.ended_at - before.ended_at).total_seconds() for before, job in itertools.pairwise(waiting)
        ]
        for job in waiting[1:]:
            resident, private = job.return_value()
            found.resident_bytes.append(resident * 1024)
            found.private_bytes.append(private * 1024)


@pytest.fixture
def bench(tmp_path: Path, segments: Path, redis_server: servers.Redis) -> Iterator[Bench]:
    """Give a bench on a real Redis."""
    with Redis.from_url(redis_server.url) as redis:
        yield Bench(tmp_path, segments, redis, redis_server.url)


def test_a_flask_job_costs_a_fork_rather_than_an_import(bench, size):
    """A job that needs the Flask application takes an eighth of the time under `ullage worker`, and less memory."""
    rounds, jobs, factor = size(10, 2), size(20, 10), size(8, 4)
    found = {name: Measured() for name in WORKERS}
    # In turns, and by the median: what else the machine does is then no one worker's misfortune.
    for _ in range(rounds):
        for name, measured in found.items():
            bench.measure(name, jobs, measured)
    print()
    for name, measured in found.items():
        print(
            f"promise worker speed: {rounds * jobs} Flask jobs, {name:13s} {median(measured.seconds) * 1e3:6.1f} ms "
            f"a job, {median(measured.resident_bytes) / 1e6:.0f} MB resident, "
            f"{median(measured.private_bytes) / 1e6:.0f} MB of it private"
        )
    plain, preloaded = found["rq worker"], found["ullage worker"]
    assert median(plain.seconds) >= factor * median(preloaded.seconds)
    assert median(preloaded.private_bytes) <= median(plain.private_bytes) / 2
