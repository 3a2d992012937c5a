"""What a writer did, written down by itself in memory that its parent shares, and so known after a `kill -9`."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from contextlib import contextmanager

# Ways in which a checkout begins and ends. Those of LEAKS are counted as leaks; a life may end with any.
CHECKOUT, CLEAN, HELD, COLLECTED, OVER = range(5)
LEAKS = (HELD, COLLECTED, OVER)
# After HELD a connection is still out, and its return is no end of the leak.
LATE = 5
KINDS = 6


class Ledger:
    """For each kind of operation, how many were begun and how many were done."""

    def __init__(self) -> None:
        self._words = memoryview(mmap.mmap(-1, 2 * KINDS * 8)).cast("q")

    @contextmanager
    def note(self, kind: int) -> Iterator[None]:
        """Note one operation before and after."""
        self._words[kind] += 1
        yield
        self._words[KINDS + kind] += 1

    def clear(self) -> None:
        """Begin the account of another life."""
        for word in range(2 * KINDS):
            self._words[word] = 0

    def bounds(self, *kinds: int) -> tuple[int, int]:
        """Return at least and at most how many operations of these kinds took effect."""
        return sum(self._words[KINDS + kind] for kind in kinds), sum(self._words[kind] for kind in kinds)

    @property
    def uncertain(self) -> int:
        """How many operations were under way: at most one."""
        begun, done = sum(self._words[:KINDS]), sum(self._words[KINDS:])
        return begun - done

    def checkouts(self) -> tuple[int, int]:
        """Return the bounds of the checkouts."""
        return self.bounds(CHECKOUT)

    def returns(self) -> tuple[int, int]:
        """Return the bounds of the connections that came back."""
        return self.bounds(CLEAN, COLLECTED, OVER, LATE)

    def leaks(self) -> tuple[int, int]:
        """Return the bounds of the leaks of all kinds, those that died with the process included.

        Every checkout that did not come back cleanly is one, and one only, whenever its process is killed.
        """
        checkouts, clean = self.bounds(CHECKOUT), self.bounds(CLEAN)
        return checkouts[0] - clean[1], checkouts[1] - clean[0]
