"""A volume as the init container leaves it, and an application's environment that knows nothing of ullage."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy

from ullage.inject.copying import copy

# Ends a program that is asked what became of it. Nothing is imported that the program has not.
REPORT = """
import sys
sys.path.append(ROOT)
import dataclasses, json, ullage.inject
print(json.dumps(dataclasses.asdict(ullage.inject.report())))
"""


@dataclass
class Injected:
    """Programs that run with PYTHONPATH leading to the volume, and without."""

    volume: Path
    python: Path
    segments: Path
    environ: dict[str, str] = field(default_factory=dict)

    def environment(self, *path: Path | str, **environ: str) -> dict[str, str]:
        """Return the environment of a program that is injected; `path` is what the image has on PYTHONPATH."""
        own = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "ULLAGE_"))}
        entries = [str(self.volume / "site"), *map(str, path)]
        settings = {"ULLAGE_DIR": str(self.segments), "ULLAGE_ROLE": "test"}
        return {**own, "PYTHONPATH": os.pathsep.join(entries), **settings, **self.environ, **environ}

    def plain(self, *path: Path | str) -> dict[str, str]:
        """Return the environment of the same program without ullage."""
        own = self.environment(*path)
        own["PYTHONPATH"] = os.pathsep.join(map(str, path))
        return {name: value for name, value in own.items() if not name.startswith("ULLAGE_") and value}

    def run(
        self, code: str, *path: Path | str, flags: Sequence[str] = (), **environ: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a program with ullage injected."""
        return self.start([*flags, "-c", code], self.environment(*path, **environ))

    def run_plain(self, code: str, *path: Path | str) -> subprocess.CompletedProcess[str]:
        """Run a program without ullage."""
        return self.start(["-c", code], self.plain(*path))

    def start(self, arguments: Sequence[str], environ: dict[str, str]) -> subprocess.CompletedProcess[str]:
        """Run the application's Python to its end."""
        command = [str(self.python), *arguments]
        return subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60, check=False)

    def report(self, code: str, *path: Path | str, **environ: str) -> dict[str, Any]:
        """Run a program and return what it then says of itself."""
        done = self.run(code + REPORT.replace("ROOT", repr(str(self.volume))), *path, **environ)
        assert done.returncode == 0, done.stderr
        found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return found


@pytest.fixture(scope="session")
def volume(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a volume with the package in it, for tests that leave it as it is."""
    directory = tmp_path_factory.mktemp("volume")
    copy(directory)
    return directory


@pytest.fixture(scope="session")
def application_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a virtual environment's Python, with the libraries of this one and without ullage."""
    directory = tmp_path_factory.mktemp("application")
    venv.create(directory, symlinks=True)
    (packages,) = directory.glob("lib/python*/site-packages")
    # The .pth files in a directory that a .pth file names are not read: ullage's own, of an editable installation.
    (packages / "libraries.pth").write_text(str(Path(sqlalchemy.__file__).parents[1]) + "\n")
    return directory / "bin" / "python"


@pytest.fixture
def injected(volume: Path, application_python: Path, tmp_path: Path) -> Injected:
    """Give a way to run programs with ullage injected."""
    segments = tmp_path / "segments"
    segments.mkdir()
    return Injected(volume, application_python, segments)


@pytest.fixture
def own_volume(injected: Injected, tmp_path: Path) -> Path:
    """Give a volume that the test may damage."""
    injected.volume = tmp_path / "volume"
    copy(injected.volume)
    return injected.volume


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Give a function that writes modules into a directory and returns it."""

    def write_modules(directory: str, **modules: str) -> Path:
        found = tmp_path / directory
        for name, text in modules.items():
            path = found / f"{name.replace('__', '/')}.py"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return found

    return write_modules


def other_pythons() -> list[Path]:
    """Return the interpreters of other versions that this machine has."""
    roots = [Path("/usr/bin"), Path("/usr/local/bin"), Path.home() / ".pyenv" / "versions"]
    found = [path for root in roots for path in [*root.glob("python[23].*"), *root.glob("*/bin/python")]]
    return [path for path in sorted(found) if path.resolve() != Path(sys.executable).resolve() and path.is_file()]
