"""Both ends of a workload's process: probes are installed once a process, and a new one sees another machine."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.servers import owned_command

ROOT = Path(__file__).parents[2]
# What a developer has set for another purpose must not change what is measured.
FOREIGN = ("ULLAGE_", "PROMETHEUS_")
DIRECTORIES = ("segments", "databases", "peer")


class MeasurementError(Exception):
    """A workload did not run to its end; the message has what it printed."""


def measure(name: str, **arguments: Any) -> dict[str, Any]:
    """Run a workload and return its numbers. Its directories are in memory, as a pod's segments are."""
    with _directories() as paths:
        result = subprocess.run(
            command(name, **paths, **arguments),
            cwd=ROOT,
            env={**environment(), "PROMETHEUS_MULTIPROC_DIR": str(paths["peer"])},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
    if result.returncode != 0:
        raise MeasurementError(
            f"workload {name} ended with status {result.returncode}:\n{result.stdout}{result.stderr}"
        )
    found: dict[str, Any] = json.loads(result.stdout.splitlines()[-1])
    return found


def command(name: str, **arguments: Any) -> list[str]:
    """Return the command of a workload."""
    return owned_command([sys.executable, "-m", f"tests.bench.workloads.{name}", json.dumps(arguments, default=str)])


def environment() -> dict[str, str]:
    """Return this process's environment without what would change a measurement."""
    return {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}


def run(main: Callable[..., dict[str, Any]]) -> None:
    """Be a workload: read the arguments, print the numbers."""
    arguments = json.loads(sys.argv[1])
    paths = {name: Path(arguments.pop(name)) for name in DIRECTORIES if name in arguments}
    print(json.dumps(main(**paths, **arguments)))


@contextmanager
def _directories() -> Iterator[dict[str, Path]]:
    memory = Path("/dev/shm")
    in_memory = memory.is_dir() and os.access(memory, os.W_OK)
    directory = Path(tempfile.mkdtemp(prefix="ullage-bench-", dir=memory if in_memory else None))
    try:
        paths = {name: directory / name for name in DIRECTORIES}
        for path in paths.values():
            path.mkdir()
        yield paths
    finally:
        shutil.rmtree(directory)
