"""Where the applications are run: servers, environments, and what is known already from runs without ullage."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.promises.injected import environments
from tests.promises.injected.applications import APPS, Application
from tests.promises.injected.container import Container, Injection
from tests.promises.injected.run import Run, Services
from tests.promises.injected.transcript import Transcript
from tests.promises.readings import Page
from tests.servers import MariaDB, Redis, free_port
from ullage.inject.copying import copy

REPORT = """
import dataclasses, json, sys, sqlalchemy
with sqlalchemy.create_engine("sqlite://").connect():
    pass
sys.path.append(sys.argv[1])
import ullage.inject
print(json.dumps(dataclasses.asdict(ullage.inject.report())))
"""


@dataclass(frozen=True)
class Outcome:
    """What was seen from outside, and what was measured."""

    transcript: Transcript
    # Connections that the database accepted, and those that it closed.
    connections: int
    killed: int
    page: Page


class Stage:
    """A `with` block owns the directories; the applications' files lie there, at the same path in every run."""

    def __init__(self, mariadb: MariaDB, redis: Redis, *, is_pinned: bool) -> None:
        self._is_pinned = is_pinned
        self.services = Services(mariadb, redis, free_port())
        self._pythons: dict[str, Path] = {}
        self._plain: dict[tuple[str, Path], Outcome] = {}
        self._owned = ExitStack()

    def __enter__(self) -> Stage:
        memory = Path("/dev/shm")
        self.root = Path(tempfile.mkdtemp(prefix="apps-", dir=memory if memory.is_dir() else None))
        self._owned.callback(shutil.rmtree, self.root)
        self.root.chmod(0o755)  # an application may run under another uid
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._owned.close()

    def python(self, application: Application) -> Path:
        """Return the application's Python."""
        name = application.name
        if name not in self._pythons:
            if self._is_pinned:
                base = environments.for_everybody() if application.image.is_locked else None
                self._pythons[name] = environments.pinned(name, [APPS / name / "requirements.txt"], base)
            else:
                if "" not in self._pythons:
                    self._pythons[""] = environments.shared(self.root / "environment")
                self._pythons[name] = self._pythons[""]
        return self._pythons[name]

    def place(self, application: Application) -> Path:
        """Return the application's directory, with its files as its image has them."""
        place = self.root / application.name
        if not place.exists():
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(APPS / application.name, place / "code", ignore=ignored)
        return place

    def injection(self, application: Application) -> Injection:
        """Return what the init container and the volumes of a pod add, all new."""
        place = self.place(application)
        volume, segments = place / "volume", place / "segments"
        for directory in (volume, segments):
            shutil.rmtree(directory, ignore_errors=True)
        copy(volume)
        segments.mkdir()
        segments.chmod(0o777)  # as an emptyDir is
        return Injection(volume, segments)

    def plain(self, application: Application, python: Path | None = None) -> Outcome:
        """Return what the application does without ullage."""
        key = (application.name, python or self.python(application))
        if key not in self._plain:
            self._plain[key] = self.play(application, python=python)
        return self._plain[key]

    def play(self, application: Application, injection: Injection | None = None, python: Path | None = None) -> Outcome:
        """Run the application from its setup to its end."""
        if os.geteuid() != 0 and (application.image.is_locked or (injection and injection.mounts)):
            pytest.skip("this container mounts file systems of its own: run as root")
        run = Run(self._container(application, injection, python), self.services)
        application.play(run)
        page = Page.read(injection.segments) if injection else Page({})
        return Outcome(run.transcript, run.connections, run.killed, page)

    def report(self, application: Application, injection: Injection, python: Path | None = None) -> dict[str, Any]:
        """Return what a process of the application that uses a pool says of itself."""
        container = self._container(application, injection, python)
        command = container.command(["python", "-c", REPORT, str(injection.volume)])
        done = subprocess.run(
            command, cwd=container.code, env=container.environ("web"), capture_output=True, timeout=60, check=True
        )
        found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return found

    def doctor(self, application: Application, injection: Injection) -> str:
        """Return what `ullage doctor` prints, run by the application's Python in a container of its own."""
        container = self._container(application, injection, None)
        environ = {**container.environ("web"), "PYTHONPATH": str(injection.volume)}  # as its help says
        command = container.command(["python", "-m", "ullage", "doctor"])
        options = {"cwd": container.code, "env": environ, "timeout": 60, "check": False}
        return subprocess.run(command, capture_output=True, text=True, **options).stdout

    def _container(self, application: Application, injection: Injection | None, python: Path | None) -> Container:
        return Container(application.image, python or self.python(application), self.place(application), injection)
