"""A virtual environment for each application, from its pinned requirements; kept in .nox between runs."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import venv
from collections.abc import Sequence
from pathlib import Path

import sqlalchemy

from tests.conftest import _skip_if_missing
from tests.servers import MissingComponentError, find_program

ROOT = Path(__file__).parents[3]
KEPT = ROOT / ".nox"
SCRIPTS = ("gunicorn", "flask", "rq")
OTHERS_MAY_ENTER = 0o001


def pinned(name: str, requirements: Sequence[Path], python: Path | None = None) -> Path:
    """Return the Python of the environment with the requirements of these files, made when it is not there.

    The test is skipped when they cannot be had, and fails in CI.
    """
    with _skip_if_missing():
        return _pinned(name, requirements, python)


def _pinned(name: str, requirements: Sequence[Path], python: Path | None) -> Path:
    base = python or Path(sys.executable).resolve()
    options = [f"--requirements={path}" for path in requirements]
    contents = [path.read_text() for path in requirements]
    wanted = hashlib.sha256("\n".join([str(base), *contents]).encode()).hexdigest()
    directory = KEPT / f"apps-{name}"
    stamp = directory / ".stamp"
    if not stamp.exists() or stamp.read_text() != wanted:
        uv = find_program("uv", "uv", also_in=[Path(sys.executable).parent])
        _uv([uv, "venv", "--clear", "--python", str(base), str(directory)], directory)
        _uv([uv, "pip", "install", "--python", str(directory / "bin" / "python"), *options], directory)
        stamp.write_text(wanted)
    return directory / "bin" / "python"


def _uv(command: list[str], directory: Path) -> None:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False)
    if done.returncode != 0:
        tail = "\n".join(done.stderr.splitlines()[-5:])
        raise MissingComponentError(
            f"{directory} could not be made; it takes a package registry to begin with:\n{tail}"
        )


def shared(directory: Path) -> Path:
    """Return the Python of an environment with the libraries of this one and without ullage; takes no registry."""
    venv.create(directory, symlinks=True)
    (packages,) = directory.glob("lib/python*/site-packages")
    # The .pth files in a directory that a .pth file names are not read: ullage's own, of an editable installation.
    (packages / "libraries.pth").write_text(str(Path(sqlalchemy.__file__).parents[1]) + "\n")
    python = directory / "bin" / "python"
    for name in SCRIPTS:
        lines = (Path(sys.executable).parent / name).read_text().splitlines()
        script = directory / "bin" / name
        script.write_text("\n".join([f"#!{python}", *lines[1:], ""]))
        script.chmod(0o755)
    return python


def for_everybody() -> Path:
    """Return a Python that another user may run: this one, unless it lies in somebody's home.

    The test is skipped when there is none, and fails in CI.
    """
    found = [Path(sys.executable).resolve(), *map(Path, filter(None, [shutil.which("python3", path="/usr/bin")]))]
    for python in found:  # in the order of preference
        if all(parent.stat().st_mode & OTHERS_MAY_ENTER for parent in python.resolve().parents):
            return python
    with _skip_if_missing():
        raise MissingComponentError("no Python that another user may run; get it by: sudo apt-get install python3")


def of_version(version: str) -> Path | None:
    """Return an interpreter of another version, where this machine has one."""
    installed = [Path(directory) / f"python{version}" for directory in ("/usr/bin", "/usr/local/bin")]
    installed += sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python"))
    return next((python for python in installed if python.exists()), None)
