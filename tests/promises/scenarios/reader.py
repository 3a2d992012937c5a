"""A process that reads a segment directory a thousand times a second and compares each reading with the one before."""

from __future__ import annotations

import json
import os
import select
import time
from pathlib import Path
from typing import Any

from tests.promises.readings import cells_of

PERIOD_SECONDS = 0.001
MOST_LATE_SECONDS = 0.1
MOST_FALLS = 20


class Reader:
    """Reads from `with` until `finish()`, which returns what it saw."""

    def __init__(self, directory: str) -> None:
        self._directory = Path(directory)
        self._pid = 0

    def __enter__(self) -> Reader:
        stop, self._stop = os.pipe()
        self._result, result = os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            try:
                os.close(self._stop)
                self._read(stop, result)
                os._exit(0)
            finally:
                os._exit(1)
        os.close(stop)
        os.close(result)
        return self

    def finish(self) -> dict[str, Any]:
        """Stop reading and return the number of readings, their rate and every fall."""
        self._end()
        with os.fdopen(self._result, "rb") as pipe:
            return json.loads(pipe.read())

    def __exit__(self, *exc_info: object) -> None:
        self._end()

    def _end(self) -> None:
        if self._pid:
            os.close(self._stop)  # which the reader, and any process of the same parent, sees as the end
            os.waitpid(self._pid, 0)
            self._pid = 0

    def _read(self, stop: int, result: int) -> None:
        last: dict[tuple[str, ...], list[float]] = {}
        falls: list[str] = []
        readings = unreadable = 0
        started = due = time.monotonic()
        parent = os.getppid()
        while os.getppid() == parent and not select.select([stop], [], [], 0)[0]:
            cells, bad = cells_of(self._directory, time.monotonic())
            readings += 1
            unreadable += sum(bad.values())
            if cells != last:
                falls += _falls(last, cells)
                last = cells
            due = max(due + PERIOD_SECONDS, time.monotonic() - MOST_LATE_SECONDS)
            select.select([stop], [], [], max(due - time.monotonic(), 0.0))
        seconds = time.monotonic() - started
        found = {
            "readings": readings,
            "rate": readings / seconds,
            "unreadable": unreadable,
            "falls": falls[:MOST_FALLS],
        }
        os.write(result, json.dumps(found).encode())


def _falls(last: dict[tuple[str, ...], list[float]], now: dict[tuple[str, ...], list[float]]) -> list[str]:
    found = []
    for key, before in last.items():
        after = now.get(key)
        if after is None:
            found.append(f"{key} vanished")
        elif any(new < old for old, new in zip(before, after, strict=True)):
            found.append(f"{key}: {before} -> {after}")
    return found
