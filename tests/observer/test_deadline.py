"""Waiting no longer than agreed."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.conftest import WaitFor
from ullage.observer.deadline import Deadline, OverdueError


class TestDeadline:
    def test_result(self) -> None:
        """What the call returns is returned, and each time it is called anew."""
        results = iter("ab")
        deadline = Deadline(lambda: next(results), 10)
        assert deadline.result() + deadline.result() == "ab"

    def test_error(self) -> None:
        """What the call raises is raised, a timeout of its own too."""

        def fail() -> None:
            raise TimeoutError("own")

        with pytest.raises(TimeoutError, match="own"):
            Deadline(fail, 10).result()

    def test_hanging_call(self) -> None:
        """A call that hangs is given up, is not made a second time beside the first, and may come back later."""
        release, calls = threading.Event(), []

        def hang() -> str:
            calls.append(1)
            release.wait(30)
            return "back"

        deadline = Deadline(hang, 0.05)
        for _ in range(3):
            with pytest.raises(OverdueError, match=r"^no answer within 0\.05 s$"):
                deadline.result()
        assert len(calls) == 1
        release.set()

    def test_those_who_ask_meanwhile(self, wait_for: WaitFor) -> None:
        """Those who ask while a call is made get its result."""
        entered, release, calls = threading.Event(), threading.Event(), []

        def call() -> int:
            calls.append(1)
            entered.set()
            release.wait(30)
            return len(calls)

        deadline = Deadline(call, 30)
        asking = threading.Semaphore(0)

        def ask() -> int:
            asking.release()
            return deadline.result()

        with ThreadPoolExecutor(2) as threads:
            first = threads.submit(ask)
            assert entered.wait(10)
            second = threads.submit(ask)
            for _ in range(2):
                assert asking.acquire(timeout=10)
            assert not second.done()
            release.set()
            assert first.result(10) == 1
            assert second.result(10) in (1, 2)
