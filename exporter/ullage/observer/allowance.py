"""How often something may be done."""

from __future__ import annotations

import time
from collections.abc import Callable


class Allowance:
    """So many a minute, and as many at once after a quiet minute. For one thread."""

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_minute = per_minute
        self._clock = clock
        self._left = float(per_minute)
        self._counted_at = clock()

    def take(self) -> bool:
        """Use one, if there is one left."""
        now = self._clock()
        gained = (now - self._counted_at) * self._per_minute / 60.0
        self._left = min(float(self._per_minute), self._left + gained)
        self._counted_at = now
        if self._left < 1.0:
            return False
        self._left -= 1.0
        return True
