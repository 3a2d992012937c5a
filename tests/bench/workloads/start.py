"""Python's start with ullage injected and without, in interpreters that import nothing, and the libraries."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import sqlalchemy

from tests.bench.child import environment, run
from ullage.inject.copying import copy

PROGRAMS = {"nothing": "", "libraries": "import sqlalchemy.orm, flask, rq\n"}
# The last line of each: resident kilobytes, with what is shared.
RESIDENT = "print([line.split()[1] for line in open('/proc/self/status') if line.startswith('VmRSS:')][0])"


def main(segments: Path, databases: Path, peer: Path, starts: int) -> dict[str, Any]:
    """Return, for each program, the CPU nanoseconds and the resident bytes of every start, by variant."""
    copy(databases / "kept")
    copy(databases / "compiled_again")
    for cache in list((databases / "compiled_again").rglob("__pycache__")):
        shutil.rmtree(cache)
        cache.write_text("")  # a file in its place: nothing can be kept, whoever runs this
    packages = str(Path(sqlalchemy.__file__).parents[1])
    paths = {
        "without": packages,
        "control": packages,
        **{name: f"{databases / name / 'site'}:{packages}" for name in ("kept", "compiled_again")},
    }
    found: dict[str, Any] = {}
    for program, code in PROGRAMS.items():
        measured = {variant: [] for variant in paths}
        for number in range(starts + 1):  # the first compiles
            for variant in random.sample(list(paths), len(paths)):
                reading = _start(code + RESIDENT, {"PYTHONPATH": paths[variant], "ULLAGE_DIR": str(segments)})
                if number:
                    measured[variant].append(reading)
        found[program] = measured
    return found


def _start(code: str, environ: dict[str, str]) -> tuple[float, int]:
    python = getattr(sys, "_base_executable", sys.executable)
    own = {name: value for name, value in environment().items() if name != "PYTHONDONTWRITEBYTECODE"}
    process = subprocess.Popen([python, "-c", code], env={**own, **environ}, stdout=subprocess.PIPE)
    assert process.stdout is not None
    kilobytes = int(process.stdout.read())
    _, status, usage = os.wait4(process.pid, 0)
    process.stdout.close()
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{python} ended with status {process.returncode}")
    return (usage.ru_utime + usage.ru_stime) * 1e9, kilobytes * 1024


if __name__ == "__main__":
    run(main)
