"""A call that nobody waits for longer than its time, whatever it hangs on."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import Generic, TypeVar

T = TypeVar("T")


class OverdueError(Exception):
    """The call did not return in time."""


class Deadline(Generic[T]):
    """Makes one call at a time, in a thread of its own; those who ask meanwhile wait for the same result.

    A socket's timeout is not enough: it does not hold for the resolution of names, and starts anew with each byte.
    One call at a time, so that a server which hangs collects no threads.
    """

    def __init__(self, call: Callable[[], T], seconds: float) -> None:
        self._call = call
        self._seconds = seconds
        self._running: Future[T] | None = None  # guarded by _lock
        self._lock = threading.Lock()

    def result(self) -> T:
        """Return what the call returns, or raise what it raises; OverdueError when it takes too long."""
        with self._lock:
            if self._running is None or self._running.done():
                self._running = self._start()
            running = self._running
        wait([running], self._seconds)
        if not running.done():
            raise OverdueError(f"no answer within {self._seconds:g} s")
        return running.result()

    def _start(self) -> Future[T]:
        future: Future[T] = Future()
        threading.Thread(target=self._run, args=(future,), daemon=True).start()
        return future

    def _run(self, future: Future[T]) -> None:
        try:
            future.set_result(self._call())
        except Exception as error:  # noqa: BLE001 - raised again where the result is waited for
            future.set_exception(error)
