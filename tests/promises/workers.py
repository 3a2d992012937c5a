"""Workers in processes of their own, on a real Redis, and what they report."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from redis import Redis
from rq import Queue

from tests.promises.readings import Page
from tests.servers import owned_command

ROOT = Path(__file__).parents[2]
MOST_BURSTS = 20
SITECUSTOMIZE = """
import sys
if "rq" not in sys.modules:
    import rq, rq.worker, flask, ullage
    ullage.install()
"""


def environment(segments: Path, **more: str) -> dict[str, str]:
    """Return the environment of a worker that writes into `segments`."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ULLAGE_")}
    paths = os.pathsep.join(filter(None, (str(ROOT), kept.get("PYTHONPATH"))))
    return {**kept, "PYTHONPATH": paths, "ULLAGE_DIR": str(segments), "ULLAGE_ROLE": "worker", **more}


def start(arguments: Sequence[str], env: dict[str, str], **options: Any) -> subprocess.Popen[str]:
    """Start `python ARGUMENTS` in a process that ends with this one."""
    return subprocess.Popen(
        owned_command([sys.executable, *arguments]),
        cwd=ROOT,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        **options,
    )


def run(arguments: Sequence[str], env: dict[str, str], timeout: float = 300) -> tuple[int, str]:
    """Run `python ARGUMENTS` to its end, and return its exit status and what it printed."""
    with start(arguments, env) as process:
        try:
            output, _ = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            output, _ = process.communicate()
            raise AssertionError(f"{arguments} took over {timeout} s:\n{output[-4000:]}") from None
    return process.returncode, output


def run_until_empty(arguments: Sequence[str], env: dict[str, str], queue: Queue) -> str:
    """Run a worker's bursts until its queue is empty; a job may have killed the worker with itself."""
    outputs = []
    for _ in range(MOST_BURSTS):
        status, output = run(arguments, env)
        outputs.append(output)
        if queue.count == 0 and status == 0:
            return "".join(outputs)
    raise AssertionError(f"{queue.count} jobs are left after {MOST_BURSTS} bursts:\n{''.join(outputs)[-4000:]}")


def new_queue(url: str, name: str) -> Queue:
    """Return an empty queue."""
    queue = Queue(name, connection=Redis.from_url(url))
    queue.empty()
    return queue


def unreleased(segments: Path) -> dict[tuple[str, str, str, str, str], float]:
    """Return the count of every leak by queue, function, `path:line`, kind and level."""
    found: dict[tuple[str, str, str, str, str], float] = {}
    for labels, value in series(segments, "sqlalchemy_unreleased_sessions_total"):
        site = labels["site"].partition(" ")[0]
        key = (labels["queue"], labels["function"], site, labels["kind"], labels["level"])
        found[key] = found.get(key, 0.0) + value
    return found


def series(segments: Path, name: str) -> Iterator[tuple[dict[str, str], float]]:
    """Yield the labels and value of each sample of a name."""
    for (found, labels), value in Page.read(segments).samples.items():
        if found == name:
            yield dict(labels), value
