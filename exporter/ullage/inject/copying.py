"""Copy the package into a volume, as an init container does, in the layout that PYTHONPATH and the launcher need.

    DIR/site/        for PYTHONPATH: sitecustomize.py, usercustomize.py and _ullage_hook.py
    DIR/ullage/      the package
    DIR/ullage-run   the launcher

`site` is taken away first and comes last, so that a process which starts meanwhile, or after a copy that was broken
off, runs as if ullage were not there.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from ullage import __version__

SITE, PACKAGE, LAUNCHER = "site", "ullage", "ullage-run"
# File of the package -> its names in DIR/site.
_ON_PATH = {"sitecustomize.py": ("sitecustomize.py", "usercustomize.py"), "hook.py": ("_ullage_hook.py",)}
# The observer needs packages that an application does not have.
_LEFT_OUT = ("__pycache__", "observer")
_CACHE = "__pycache__"
_TEMPORARY = ".ullage-"


class CopyError(Exception):
    """The package could not be copied; the message says why and what to do."""


def copy(target: Path) -> str:
    """Copy the package into a directory, in place of any earlier copy; return what was done, in one line.

    Raises:
        CopyError: the directory cannot be made or written, or cannot be on PYTHONPATH.
    """
    if ":" in str(target):
        raise CopyError(f"{target} cannot be on PYTHONPATH, which separates its entries by colons; choose another")
    try:
        target.mkdir(parents=True, exist_ok=True)
        for left in target.glob(_TEMPORARY + "*"):  # by a copy that was broken off
            shutil.rmtree(left, ignore_errors=True)
        count, replaced = _copy(target)
    except shutil.Error as error:  # of copytree, with every file that could not be copied
        raise CopyError(f"{target}: {error.args[0][0][2]}; mount a writable emptyDir with more room there") from error
    except OSError as error:
        where = error.filename or target
        raise CopyError(f"{target}: {error.strerror} ({where}); mount a writable emptyDir there") from error
    done = f"copied ullage {__version__} ({count} files) to {target}"
    return f"{done}, in place of an earlier copy" if replaced else done


def _copy(target: Path) -> tuple[int, bool]:
    source = Path(__file__).parents[1]
    with tempfile.TemporaryDirectory(prefix=_TEMPORARY, dir=target, ignore_cleanup_errors=True) as temporary:
        new = Path(temporary) / "new"
        shutil.copytree(source, new / PACKAGE, ignore=shutil.ignore_patterns(*_LEFT_OUT))
        (new / SITE).mkdir()
        for name, names in _ON_PATH.items():
            for other in names:
                shutil.copy2(source / "inject" / name, new / SITE / other)
        shutil.copy2(source / "inject" / LAUNCHER, new / LAUNCHER)
        count = _open_up(new)
        old = Path(temporary) / "old"
        old.mkdir()
        replaced = os.path.lexists(target / PACKAGE)
        for name in (SITE, PACKAGE, LAUNCHER):
            if os.path.lexists(target / name):
                (target / name).rename(old / name)
        for name in (LAUNCHER, PACKAGE, SITE):
            (new / name).rename(target / name)
    return count, replaced


def _open_up(new: Path) -> int:
    """Let every user read it, whatever the umask, and keep bytecode there; return the number of files."""
    count = 0
    for path in list(new.rglob("*")):
        if path.is_dir():
            # The application runs under another uid, and compiles once what it may not store again and again.
            cache = path / _CACHE
            cache.mkdir()
            cache.chmod(0o1777)
            path.chmod(0o755)
        else:
            count += 1
            path.chmod(0o755 if path.name == LAUNCHER else 0o644)
    return count
