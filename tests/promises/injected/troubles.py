"""What can be wrong with an injection, each made in a copy or a mount namespace; and what a process then reports."""

from __future__ import annotations

import dataclasses
import shlex
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.promises.injected.container import Injection

RAISE = "RuntimeError: a probe that raises"


@dataclass(frozen=True)
class Trouble:
    """One thing that is wrong."""

    name: str
    make: Callable[[Injection], Injection]
    # What the report has to say, at a key of it.
    key: str
    reason: str
    # What `ullage doctor` says, where that is said otherwise; None when only the process itself can know.
    diagnosis: str | None = ""
    # Whether the other probes go on.
    is_of_one_probe: bool = False

    def explained_by(self, report: dict[str, Any]) -> bool:
        """Say whether a process's report names the reason."""
        found = report["probes"].get("pool", "") if self.key == "pool" else report[self.key]
        return self.reason in found

    def diagnosed_by(self, printed: str) -> bool:
        """Say whether `ullage doctor` names the reason, as a failure."""
        failures = [line for line in printed.splitlines() if line.startswith("fail")]
        return self.diagnosis is None or any((self.diagnosis or self.reason) in line for line in failures)


def _appended(path: str, text: str) -> Callable[[Injection], Injection]:
    def append(injection: Injection) -> Injection:
        with (injection.volume / path).open("a") as file:
            file.write(f"\n\n{text}\n")
        return injection

    return append


def _mounted(options: str) -> Callable[[Injection], Injection]:
    def mount(injection: Injection) -> Injection:
        directory = shlex.quote(str(injection.segments))
        return dataclasses.replace(injection, mounts=(f"mount -t tmpfs -o mode=777,{options} tmpfs {directory}",))

    return mount


def _without_segments(injection: Injection) -> Injection:
    injection.segments.rmdir()
    return injection


def _without_package(injection: Injection) -> Injection:
    shutil.rmtree(injection.volume / "ullage")
    return injection


TROUBLES = [
    Trouble(
        "a probe that raises at its installation",
        _appended("ullage/probe/pool.py", 'def install(process):\n    raise RuntimeError("a probe that raises")'),
        "pool",
        RAISE,
        is_of_one_probe=True,
    ),
    Trouble(
        "a probe that raises at work",
        _appended(
            "ullage/probe/checkouts.py",
            'def _raise(*_arguments):\n    raise RuntimeError("a probe that raises")\nPoolState.checked_out = _raise',
        ),
        "pool",
        "silent after an error",
        diagnosis=None,
        is_of_one_probe=True,
    ),
    Trouble("a missing directory", _without_segments, "problem", "No such file or directory"),
    Trouble("a full directory", _mounted("size=4k"), "problem", "No space left on device", diagnosis="0.0 MiB free"),
    Trouble("a read-only directory", _mounted("ro"), "problem", "Read-only file system"),
    Trouble("a wrong Python", _appended("site/_ullage_hook.py", "OLDEST = (99, 0)"), "reason", "it needs CPython"),
    Trouble("a damaged hook", _appended("site/_ullage_hook.py", "this is no Python"), "reason", "SyntaxError"),
]
