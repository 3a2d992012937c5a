"""Damages segment files that no living process holds, a hundred times a second."""

from __future__ import annotations

import os
import random
import threading
import time
from pathlib import Path

from tests.promises.scenarios.damage import damage
from ullage import locks
from ullage.claim import SUFFIX

PERIOD_SECONDS = 0.01


class Corruptor:
    """Runs from `with` to its end. It owns a file while it damages it, as whoever writes to one must."""

    def __init__(self, directory: Path, template: bytes, seed: int) -> None:
        """Damaged copies of `template` are what it writes: some can still be adopted, and then are."""
        self.directory = directory
        self.damaged = 0
        self.rate = 0.0  # a second; known at the end
        self._template = template
        self._random = random.Random(seed)
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Corruptor:
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._is_over.set()
        self._thread.join()

    def _run(self) -> None:
        started = due = time.monotonic()
        while not self._is_over.wait(max(due - time.monotonic(), 0.0)):
            due += PERIOD_SECONDS
            paths = list(self.directory.glob(f"*{SUFFIX}"))
            self._random.shuffle(paths)
            self.damaged += any(self._damage(path) for path in paths)
        self.rate = self.damaged / (time.monotonic() - started)

    def _damage(self, path: Path) -> bool:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        try:
            if not locks.acquire(fd, locks.OWNED):
                return False
            data = damage(self._template, self._random)
            os.ftruncate(fd, self._random.choice((0, len(data))))
            os.pwrite(fd, data, 0)
            return True
        finally:
            os.close(fd)
