"""A container in small: a volume with the package, an application's Python, a segment directory, and the doctor."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.promises.injected.environments import for_everybody, shared
from tests.servers import MissingComponentError, end_process, owned_command
from ullage.inject.copying import copy

LINE = re.compile(r"(ok|warn|fail) +(\w+) +(.+)")
STRANGER = 54321


@dataclass(frozen=True)
class Answer:
    """What the doctor printed, and its exit status."""

    status: int
    lines: list[tuple[str, str, str]]
    last: str

    def said(self, check: str, *marks: str) -> str:
        """Return what was found of one check, with one of the marks where they are given, a line each."""
        return "\n".join(text for mark, name, text in self.lines if name == check and (not marks or mark in marks))

    def marked(self, mark: str) -> list[tuple[str, str]]:
        """Return the lines with a mark."""
        return [(check, text) for found, check, text in self.lines if found == mark]


@dataclass
class Pod:
    """Where programs run with ullage injected, and the doctor beside them."""

    volume: Path
    python: Path
    segments: Path
    work: Path
    stack: ExitStack
    settings: dict[str, str] = field(default_factory=dict)

    def environment(self, **more: str) -> dict[str, str]:
        """Return what every process here has in its environment."""
        own = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "ULLAGE_"))}
        return {**own, "ULLAGE_DIR": str(self.segments), **self.settings, **more}

    def start(self, *command: str, **environ: str) -> subprocess.Popen[bytes]:
        """Start a program that the launcher precedes; it is ended with the test."""
        return self.start_plain(str(self.volume / "ullage-run"), *command, **environ)

    def start_plain(self, *command: str, **environ: str) -> subprocess.Popen[bytes]:
        """Start a program as it is; it is ended with the test."""
        log = self.stack.enter_context((self.work / "log").open("ab"))
        process = subprocess.Popen(
            owned_command(command), cwd=self.work, env=self.environment(**environ), stdout=log, stderr=log
        )
        self.stack.callback(end_process, process, signal.SIGTERM, 20)
        return process

    def ask(self, *arguments: str, user: int | None = None, **environ: str) -> Answer:
        """Run the doctor from the volume, by the application's Python."""
        done = self.run_doctor(arguments, user, **environ)
        assert done.stderr == ""
        *lines, last = done.stdout.splitlines()
        found = [re.fullmatch(LINE, line) for line in lines]
        return Answer(done.returncode, [line.groups() for line in found if line], last)  # type: ignore[misc]

    def ask_json(self, *arguments: str, **environ: str) -> dict[str, Any]:
        """Run the doctor with --json."""
        found: dict[str, Any] = json.loads(self.run_doctor(["--json", *arguments], **environ).stdout)
        return found

    def run_doctor(
        self, arguments: Sequence[str] = (), user: int | None = None, **environ: str
    ) -> subprocess.CompletedProcess[str]:
        """Run the doctor to its end."""
        given = self.environment(**{"PYTHONPATH": str(self.volume), **environ})
        return subprocess.run(
            [str(self.python), "-m", "ullage", "doctor", *arguments],
            cwd=self.work,
            env=given,
            user=user,
            group=user,
            extra_groups=None if user is None else [],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )


def in_memory(name: str) -> Path:
    """Return a new directory in memory, as in a pod, that every user may enter."""
    directory = Path(tempfile.mkdtemp(prefix=f"ullage-{name}-", dir="/dev/shm"))
    directory.chmod(0o777)
    return directory


@pytest.fixture(scope="session")
def shared_volume() -> Iterator[Path]:
    """Give a volume with the package in it, for tests that leave it as it is."""
    directory = in_memory("volume")
    copy(directory)
    yield directory
    shutil.rmtree(directory)


@pytest.fixture(scope="session")
def application_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give an application's Python, with the libraries of this one and without ullage."""
    return shared(tmp_path_factory.mktemp("application"))


@pytest.fixture
def pod(shared_volume: Path, application_python: Path, tmp_path: Path) -> Iterator[Pod]:
    """Give a container in small."""
    segments = in_memory("segments")
    with ExitStack() as stack:
        yield Pod(shared_volume, application_python, segments, tmp_path, stack)
    shutil.rmtree(segments, ignore_errors=True)


@pytest.fixture
def mounted(pod: Pod) -> Callable[[str], None]:
    """Give a function that mounts a tmpfs with options on the segment directory, until the end of the test."""

    def mount(options: str) -> None:
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(pod.segments)]
        if subprocess.run(command, capture_output=True, check=False).returncode:
            pytest.skip("mounting a small tmpfs needs root; run the tests as root to include this one")
        # Lazily: a process of the test that is still about to end keeps it busy.
        pod.stack.callback(subprocess.run, ["umount", "--lazy", str(pod.segments)], check=True)

    return mount


@pytest.fixture
def as_stranger(pod: Pod) -> int:
    """Give a uid that owns nothing, and let its processes run the doctor."""
    if os.geteuid() != 0:
        pytest.skip("another uid needs root; run the tests as root to include this one")
    try:
        pod.python = for_everybody()
    except MissingComponentError as error:
        pytest.skip(str(error))
    pod.work = Path("/")
    return STRANGER
