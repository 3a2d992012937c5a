"""Jobs of the queue tests."""

from __future__ import annotations

from collections.abc import Callable

during: list[Callable[[], object]] = []


def succeed() -> int:
    """Do what the test wants done while a job runs."""
    for call in during:
        call()
    return 1


def fail() -> None:
    """Fail."""
    raise ZeroDivisionError
