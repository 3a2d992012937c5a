"""Where in the application a checkout was made: the nearest frame of the user's code, and its callers.

Only `(id(code), f_lasti)` pairs are looked at each time, because hashing a code object costs ten times as much; they
are turned into text once. So the callers are those of the first checkout from that line. No frame is kept.
"""

from __future__ import annotations

import os
import sys
import sysconfig
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from types import CodeType, FrameType

MAX_FRAMES = 5
# A program that makes code at run time must not grow this table for ever.
MAX_SITES = 4096

LIBRARIES = ("sqlalchemy", "flask_sqlalchemy", "rq", "ullage", "greenlet")


def library_roots() -> tuple[str, ...]:
    """Return the directories of the libraries whose frames are skipped, found without importing them."""
    found = []
    for name in LIBRARIES:
        try:
            spec = find_spec(name)
        except (ImportError, ValueError):
            continue
        found += [path + os.sep for path in (spec.submodule_search_locations or ())] if spec else []
    return tuple(found)


class Sites:
    """Name call sites. `intern` turns a text into the number that is stored for it."""

    def __init__(self, intern: Callable[[str], float], skip_frames: tuple[str, ...] = ()) -> None:
        self._intern = intern
        self._skipped_files = tuple(item for item in skip_frames if ":" not in item)
        self._skipped_functions = [tuple(item.split(":")) for item in skip_frames if ":" in item]
        self._libraries = library_roots()
        paths = sysconfig.get_paths()
        self._standard = tuple(paths[name] + os.sep for name in ("stdlib", "platstdlib"))
        self._site_packages = tuple(paths[name] + os.sep for name in ("purelib", "platlib"))
        self._inner: set[str] = set()
        self._outer: set[str] = set()
        # The code objects are kept, so that their ids are not given to others.
        self._known: dict[tuple[int, int], tuple[float, CodeType]] = {}

    def clear(self) -> None:
        """Forget the numbers: the segment is another one."""
        self._known.clear()

    def of(self, frame: FrameType | None) -> float:
        """Return the number of the call site that `frame` was called from."""
        inner, outer = self._inner, self._outer
        while frame is not None:
            filename = frame.f_code.co_filename
            if filename in outer:
                break
            if filename in inner or self._is_skipped(frame.f_code):
                frame = frame.f_back
                continue
            break
        if frame is None:
            return self._of_greenlet_parent()
        known = self._known.get((id(frame.f_code), frame.f_lasti))
        return known[0] if known is not None else self._name(frame)

    def _of_greenlet_parent(self) -> float:
        """Look on in the parent: SQLAlchemy's asyncio runs its sync code in a greenlet, whose frames end there."""
        greenlet = sys.modules.get("greenlet")
        parent = greenlet.getcurrent().parent if greenlet else None
        frame = parent.gr_frame if parent else None
        return self.of(frame) if frame is not None else 0.0

    def _name(self, frame: FrameType) -> float:
        if len(self._known) >= MAX_SITES:
            return self._intern("other")
        number = self._intern("\n".join(self._describe(frame)))
        self._known[id(frame.f_code), frame.f_lasti] = (number, frame.f_code)
        return number

    def _describe(self, frame: FrameType | None) -> Iterator[str]:
        named = 0
        while frame is not None and named < MAX_FRAMES:
            if not self._is_skipped(frame.f_code):
                named += 1
                name = getattr(frame.f_code, "co_qualname", frame.f_code.co_name)
                yield f"{_shorten(frame.f_code.co_filename)}:{frame.f_lineno} {name}"
            frame = frame.f_back

    def _is_skipped(self, code: CodeType) -> bool:
        """Classify the file, once where no single function of it is skipped."""
        filename = code.co_filename
        if filename in self._inner:
            return True
        if filename in self._outer:
            return False
        functions = [name for path, name in self._skipped_functions if filename.endswith(path)]
        if functions:
            return code.co_name in functions
        skipped = self._is_library(filename) or filename.endswith(self._skipped_files or ("\0",))
        (self._inner if skipped else self._outer).add(filename)
        return skipped

    def _is_library(self, filename: str) -> bool:
        if filename.startswith(("<", *self._libraries)):
            return True
        return filename.startswith(self._standard) and not filename.startswith(self._site_packages)


def _shorten(filename: str) -> str:
    """Return the path below the longest entry of sys.path that leads to it."""
    roots = [root + os.sep for root in sys.path if root and filename.startswith(root + os.sep)]
    return filename[len(max(roots, key=len)) :] if roots else filename
