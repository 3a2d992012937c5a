"""The Python processes beside this one: what they were started with, and the segment that each of them writes."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ullage.claim import SUFFIX
from ullage.doctor.startup import Startup, executable_of, flags_of
from ullage.settings import probe_settings

PROC = Path("/proc")
_PYTHON = re.compile(r"(python|pypy)[0-9.]*t?( \(deleted\))?")
# Extension modules show that SQLAlchemy has been imported.
_SQLALCHEMY = re.compile(r"/sqlalchemy/.*\.so$", re.MULTILINE)
_SERVES = re.compile(r"(^|[ /])ullage(\.__main__)?(/__main__\.py)? serve( |$)")
# Of a URL such as rq's --url: what stands before the host.
_CREDENTIALS = re.compile(r"://\S*@")
_DIRECTORIES = re.compile(r"(?<![^ ])/\S*/(?=\S)")
_COMMAND_LENGTH = 60


@dataclass(frozen=True)
class PythonProcess:
    """One process. `segment` is the file that it has mapped, '' when there is none."""

    pid: int
    command: str
    startup: Startup
    segment: str
    has_sqlalchemy: bool

    @property
    def is_sidecar(self) -> bool:
        """Whether it is `ullage serve`."""
        return bool(_SERVES.search(self.command))

    @property
    def name(self) -> str:
        """What to call it in one line."""
        short = _DIRECTORIES.sub("", " ".join(self.command.split()))
        short = short if len(short) <= _COMMAND_LENGTH else short[: _COMMAND_LENGTH - 3] + "..."
        return f"pid {self.pid} ({short})"


def find(directory: Path) -> tuple[list[PythonProcess], int]:
    """Return the Python processes that belong to a segment directory, and how many may not be looked into."""
    found, hidden = [], 0
    family = set(_family(os.getpid()))
    group = _read(PROC / "self" / "cgroup")
    for entry in sorted(PROC.glob("[0-9]*"), key=lambda entry: int(entry.name)):
        if int(entry.name) in family or not _is_python(entry):
            continue
        try:
            process = _look_into(entry, directory)
        except PermissionError:
            hidden += _read(entry / "cgroup") == group
        except OSError:
            continue  # it has ended
        else:
            if process.segment or _belongs(process, directory, _read(entry / "cgroup") == group):
                found.append(process)
    return found, hidden


def _is_python(entry: Path) -> bool:
    try:
        return bool(_PYTHON.fullmatch(Path(os.readlink(entry / "exe")).name))  # noqa: PTH115 - "... (deleted)"
    except PermissionError:
        # Another user's: its name is open to everybody.
        return _read(entry / "comm").startswith(("python", "gunicorn", "rq"))
    except OSError:
        return False


def _family(pid: int) -> Iterator[int]:
    """Yield this process and those that it was started by."""
    while pid > 1:
        yield pid
        status = re.search(r"^PPid:\s*(\d+)$", _read(PROC / str(pid) / "status"), re.MULTILINE)
        pid = int(status[1]) if status else 0


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="surrogateescape")
    except OSError:
        return ""


def _look_into(entry: Path, directory: Path) -> PythonProcess:
    arguments = (entry / "cmdline").read_text(errors="surrogateescape").rstrip("\0").split("\0")
    pairs = (entry / "environ").read_text(errors="surrogateescape").split("\0")
    environ = {name: value for name, equals, value in (pair.partition("=") for pair in pairs) if equals}
    maps = (entry / "maps").read_text(errors="surrogateescape")
    segment = re.search(rf" {re.escape(str(directory.resolve()))}/([^/\n]*{re.escape(SUFFIX)})$", maps, re.MULTILINE)
    running = os.readlink(entry / "exe").removesuffix(" (deleted)")  # noqa: PTH115
    startup = Startup(
        f"pid {entry.name}",
        executable_of(arguments, environ, running),
        flags_of(arguments),
        environ,
        os.readlink(entry / "cwd"),  # noqa: PTH115
    )
    command = _CREDENTIALS.sub("://***@", " ".join(arguments))
    return PythonProcess(
        int(entry.name), command, startup, segment[1] if segment else "", bool(_SQLALCHEMY.search(maps))
    )


def _belongs(process: PythonProcess, directory: Path, is_beside: bool) -> bool:
    """Say whether a process without a segment is one of this directory's, and not of another project on one machine."""
    environ = process.startup.environ
    if not environ.get("ULLAGE_DIR", "").strip() and not is_beside:
        return False
    return probe_settings(environ, lambda _: None).directory == directory
