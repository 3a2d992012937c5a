"""A small application, written for each test, and the `ullage worker` that performs its jobs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import uuid
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from redis import Redis
from rq import Queue

from tests import servers

ROOT = Path(__file__).parents[2]
ULLAGE = [sys.executable, "-m", "ullage", "worker"]
# What the worker's tasks are: each test's `shop` package has them, beside what the test adds.
TASKS = """
import gc, os
from pathlib import Path
from redis import Redis

Path(__file__).with_name("imports").open("a").write(f"{os.getpid()}\\n")

def where():
    return [os.getpid(), os.getppid(), gc.get_freeze_count()]

def wait(url, key):
    with Redis.from_url(url) as redis:
        redis.rpush(f"{key}:started", os.getpid())
        redis.blpop(f"{key}:go", timeout=60)
    return "done"
"""


@dataclass
class Worker:
    """A running or finished `ullage worker`."""

    process: subprocess.Popen[bytes]
    log: Path

    @property
    def text(self) -> str:
        """What it has printed."""
        return self.log.read_text()

    def wait(self, timeout: float = 60) -> int:
        """Wait for its end and return the exit status."""
        return self.process.wait(timeout)


class Shop:
    """A throw-away application: a directory on the worker's import path, and a queue."""

    def __init__(self, directory: Path, redis: servers.Redis, started: ExitStack) -> None:
        self.directory = directory
        self.url = redis.url
        self.redis = started.enter_context(Redis.from_url(redis.url))
        self.queue = Queue(f"test-{uuid.uuid4().hex}", connection=self.redis)
        self.started = started
        (directory / "shop").mkdir()
        self.write("__init__", "")
        self.write("tasks", TASKS)

    def write(self, module: str, text: str) -> Path:
        """Write a module of the package `shop`."""
        path = self.directory / "shop" / f"{module}.py"
        path.write_text(textwrap.dedent(text))
        return path

    def start(self, *arguments: str, command: list[str] | None = None, **environ: str) -> Worker:
        """Start `ullage worker` on the queue, in the application's directory."""
        log = self.directory / f"{uuid.uuid4().hex}.log"
        clean = {name: value for name, value in os.environ.items() if not name.startswith("ULLAGE_")}
        path = os.pathsep.join([str(ROOT / "exporter"), str(ROOT)])
        segments = self.directory / "segments"
        segments.mkdir(exist_ok=True)
        with log.open("wb") as output:
            process = subprocess.Popen(
                [*(command or ULLAGE), "--url", self.url, *arguments, self.queue.name],
                cwd=self.directory,
                env={**clean, "PYTHONPATH": path, "ULLAGE_DIR": str(segments), **environ},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        self.started.callback(servers.end_process, process, signal.SIGKILL, 20)
        return Worker(process, log)

    def run(self, *arguments: str, **options: Any) -> Worker:
        """Run `ullage worker --burst` to its end."""
        worker = self.start("--burst", *arguments, **options)
        worker.wait()
        return worker

    def start_waiting_job(self, **options: Any) -> tuple[Any, str]:
        """Enqueue a job that waits until `redis.rpush(f"{key}:go", 1)`; return it and the key."""
        key = uuid.uuid4().hex
        return self.queue.enqueue("shop.tasks.wait", self.url, key, **options), key

    def await_start(self, key: str) -> int:
        """Wait until the waiting job runs and return its process id."""
        found = self.redis.blpop([f"{key}:started"], timeout=60)
        assert found
        return int(found[1])

    @property
    def imports(self) -> list[int]:
        """The processes that imported shop.tasks, once for each time."""
        path = self.directory / "shop" / "imports"
        return [int(line) for line in path.read_text().split()] if path.exists() else []


def result(job: Any) -> Any:
    """Return what a job returned, by whatever name RQ has for that."""
    job.refresh()
    assert job.is_finished, job.get_status()
    return job.return_value()
