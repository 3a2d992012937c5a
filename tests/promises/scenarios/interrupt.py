"""An exception that a signal raises at any bytecode, as RQ's job timeout does. Its frame is in this file."""

from __future__ import annotations

import signal
from types import FrameType

# CPython overlooks a signal that arrives in the very moment in which it notes that the one before is dealt with.
AGAIN_SECONDS = 0.5


class Interrupt(Exception):  # noqa: N818 - it is no error, but a timeout that happened elsewhere
    """Time is up."""


class Timer:
    """Raise one Interrupt some time after `start`; `raised` counts those that were."""

    def __init__(self) -> None:
        self.raised = 0
        self.is_due = False
        signal.signal(signal.SIGALRM, self._fire)

    def start(self, seconds: float) -> None:
        """Arm the timer."""
        self.is_due = False
        signal.setitimer(signal.ITIMER_REAL, seconds, AGAIN_SECONDS)

    def _fire(self, _number: int, _frame: FrameType | None) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        self.is_due = True
        self.raised += 1
        raise Interrupt
