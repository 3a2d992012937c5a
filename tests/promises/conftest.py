"""Fixtures of the big proofs: their size, a segment directory in memory, and scenarios in a process of their own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.servers import owned_command

ROOT = Path(__file__).parents[2]
IS_FULL = os.environ.get("ULLAGE_PROMISES") == "full"

Size = Callable[[int, int], int]
Scenario = Callable[..., dict[str, Any]]


@pytest.fixture
def size() -> Size:
    """Give a function that chooses between the full and the scaled-down size of a proof."""
    return lambda full, scaled: full if IS_FULL else scaled


@pytest.fixture
def segments() -> Iterator[Path]:
    """Give an empty segment directory, in memory as in a pod where that is possible."""
    memory = Path("/dev/shm")
    in_memory = memory.is_dir() and os.access(memory, os.W_OK)
    directory = Path(tempfile.mkdtemp(prefix="ullage-promise-", dir=memory if in_memory else None))
    yield directory
    shutil.rmtree(directory)


@pytest.fixture
def scenario() -> Scenario:
    """Give a function that runs a module of `scenarios` with its arguments and returns what it measured.

    In a process of its own, because a probe is installed once a process and these fork, kill and interrupt.
    """

    def run(name: str, **arguments: Any) -> dict[str, Any]:
        command = [sys.executable, "-W", "error", "-m", f"tests.promises.scenarios.{name}"]
        result = subprocess.run(
            owned_command([*command, json.dumps(arguments, default=str)]),
            cwd=ROOT,
            env={name: value for name, value in os.environ.items() if not name.startswith("ULLAGE_")},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if result.returncode != 0:
            pytest.fail(f"scenario {name} ended with status {result.returncode}:\n{result.stdout}{result.stderr}")
        found: dict[str, Any] = json.loads(result.stdout.splitlines()[-1])
        return found

    return run
