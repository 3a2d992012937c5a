"""SIGTERM before the first job, when RQ does not listen to it yet."""

from __future__ import annotations

import signal
from types import FrameType


class StopRequest(SystemExit):
    """SIGTERM came before the first job: there is nothing to finish."""


def exit_on_sigterm() -> None:
    """Exit in good order until RQ takes over; the kernel keeps SIGTERM from a PID 1 that has no handler for it."""
    signal.signal(signal.SIGTERM, _stop)


def _stop(_signal: int, _frame: FrameType | None) -> None:
    raise StopRequest(0)
