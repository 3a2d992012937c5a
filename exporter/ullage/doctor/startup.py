"""How a Python process is started: by which interpreter, with which flags, environment and directory."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

# The package's directory, and what an init container puts beside it.
ROOT = Path(__file__).resolve().parents[2]
SITE = ROOT / "site"
HOOK = "_ullage_hook.py"
_FLAGS = {"I": "isolated", "E": "ignore_environment", "S": "no_site", "s": "no_user_site"}
_TAKE_A_VALUE = "XWQ"
_END_OF_FLAGS = "cm"


@dataclass(frozen=True)
class Startup:
    """One way in which Python is started here; `who` says for whom."""

    who: str
    executable: str
    flags: tuple[str, ...]
    environ: Mapping[str, str]
    directory: str

    @property
    def path(self) -> list[str]:
        """What PYTHONPATH has, in order."""
        return [entry for entry in self.environ.get("PYTHONPATH", "").split(os.pathsep) if entry]

    @property
    def injected(self) -> list[str]:
        """The entries of PYTHONPATH that lead to ullage's sitecustomize."""
        return [
            entry for entry in self.path if Path(entry, HOOK).is_file() and Path(entry, "sitecustomize.py").is_file()
        ]

    @property
    def key(self) -> tuple[object, ...]:
        """What two of them share when they come to the same."""
        named = {
            name: value
            for name, value in self.environ.items()
            if name.startswith(("ULLAGE_", "PYTHON")) and name != "ULLAGE_ROLE"
        }
        return self.executable, self.flags, tuple(sorted(named.items()))


def own(environ: Mapping[str, str]) -> Startup:
    """Return how this process was started."""
    flags = tuple(sorted(letter for letter, name in _FLAGS.items() if getattr(sys.flags, name)))
    given = dict(environ)
    path = given.get("PYTHONPATH", "").split(os.pathsep)
    # Whoever names the volume itself, to find the doctor, wants to know about processes that are injected from it.
    if (SITE / HOOK).is_file() and str(ROOT) in path and str(SITE) not in path:
        given["PYTHONPATH"] = os.pathsep.join([str(SITE), *(entry for entry in path if entry != str(ROOT))])
        return Startup("this interpreter, as ullage-run starts it", sys.executable, flags, given, str(Path.cwd()))
    return Startup("this interpreter", sys.executable, flags, given, str(Path.cwd()))


def flags_of(arguments: Sequence[str]) -> tuple[str, ...]:
    """Return the flags of interest in the command line of a Python process."""
    found: set[str] = set()
    words = iter(arguments[1:])
    for word in words:
        if not re.fullmatch(r"-[A-Za-z]\S*", word):
            break
        for index, letter in enumerate(word[1:], start=2):
            found |= {letter} & set(_FLAGS)
            if letter in _END_OF_FLAGS:
                return tuple(sorted(found))
            if letter in _TAKE_A_VALUE:
                if index == len(word):
                    next(words, None)
                break
    return tuple(sorted(found))


def executable_of(arguments: Sequence[str], environ: Mapping[str, str], running: str) -> str:
    """Return the interpreter by the name that it was started by: that is how a virtual environment is found."""
    first = arguments[0] if arguments else ""
    named = first if "/" in first else shutil.which(first, path=environ.get("PATH", os.defpath))
    candidates = [named, f"{environ.get('VIRTUAL_ENV', '')}/bin/python", sys.executable]
    real = os.path.realpath(running)
    return next((name for name in candidates if name and os.path.realpath(name) == real), running)
