"""What a test left checked out: the pool probe in a process that has no segment, and a piece of work for each test.

The test's are the connections that were checked out while it was set up and run, but for those of fixtures that outlive
it. A test that did not pass is not judged: its traceback keeps alive what would have been released.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Generator, Iterator
from itertools import takewhile
from typing import Any

import pytest

from ullage import claim
from ullage.leaks import CHAIN, ENGINE
from ullage.probe import pool
from ullage.probe.process import Process, Work, current_work, start
from ullage.probe.sites import Sites
from ullage.pytest_plugin import MARKER
from ullage.segment.layout import DROPPED_SLOTS, OTHER, SLOT_COUNT
from ullage.settings import ProbeSettings, probe_settings

WORK: pytest.StashKey[Work] = pytest.StashKey()
HAS_PASSED: pytest.StashKey[bool] = pytest.StashKey()

# Above every string id of a segment, so that neither is taken for the other.
_FIRST_CHAIN = 1_000_000
_RUNNERS = ("_pytest/", "pluggy/")


class Watched(Process):
    """The process of a test run: it has no segment, and as many call sites as there are."""

    def __init__(self, settings: ProbeSettings) -> None:
        self._numbers: dict[str, float] = {}
        self._chains: dict[float, str] = {}
        super().__init__(settings)
        self.sites = Sites(self._number, settings.skip_frames)

    def _try_claim(self) -> claim.Claim | None:
        return None

    def _number(self, chain: str) -> float:
        number = self._numbers.setdefault(chain, float(_FIRST_CHAIN + len(self._numbers)))
        self._chains[number] = chain
        return number

    def chain(self, number: float) -> str:
        """Return a call site and its callers, one a line."""
        return self._chains.get(number, "")


class LeakCheck:
    """The plugin: one piece of work a test, judged when its own fixtures are torn down."""

    def __init__(self) -> None:
        # The check watches: it does not change what a fork inherits, or how connections are tested.
        settings = ProbeSettings(fork_safety=False, skip_frames=probe_settings(os.environ).skip_frames)
        self._process = start(settings, Watched)
        pool.install(self._process)
        self._has_warned = False

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> Generator[None, Any, Any]:
        """Called before each test's fixtures are set up."""
        if isinstance(self._process, Watched):
            # So that a line that an earlier test went through is named with this test's callers.
            self._process.sites.clear()
        work = item.stash[WORK] = Work()
        item.stash[HAS_PASSED] = True
        current_work.set(work)
        return (yield)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_fixture_setup(self, fixturedef: pytest.FixtureDef[Any]) -> Generator[None, Any, Any]:
        """Called to set up a fixture: one that outlives the test checks connections out for itself."""
        token = None if fixturedef.scope == "function" else current_work.set(None)
        try:
            return (yield)
        finally:
            if token is not None:
                current_work.reset(token)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Called after each phase of a test: note whether all went well."""
        report = yield
        item.stash[HAS_PASSED] = item.stash.get(HAS_PASSED, False) and report.passed
        return report

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_teardown(self, item: pytest.Item) -> Generator[None, Any, Any]:
        """Called to tear the fixtures down: fail the test for what is out after that."""
        current_work.set(None)
        found = yield
        work = item.stash.get(WORK, None)
        if work is not None and item.stash[HAS_PASSED] and item.get_closest_marker(MARKER) is None:
            held = self._process.held_by(work)
            if held:
                pytest.fail(self._explain(held), pytrace=False)
            self._admit()
        return found

    def _admit(self) -> None:
        """Say it once where the check has become blind, as no leak and no knowledge look alike."""
        probe = self._process.probes.get(pool.NAME)
        if probe is None or probe.failed:
            reason = "the pool probe is not at work, as the log says"
        elif self._process.writer.words[DROPPED_SLOTS]:
            reason = f"more than {SLOT_COUNT} connections were out at one time"
        else:
            return
        if not self._has_warned:
            self._has_warned = True
            warnings.warn(pytest.PytestWarning(f"--ullage-leaks may miss leaks from here on: {reason}"), stacklevel=1)

    def _explain(self, held: list[int]) -> str:
        lines = [line for slot in held for line in self._describe(slot)]
        fix = (
            "close the session there (with Session() as session: ..., or Session.remove() in a finally), or mark the "
            f"test with @pytest.mark.{MARKER} where the connection is kept on purpose"
        )
        return "\n".join([*lines, fix])

    def _describe(self, slot: int) -> Iterator[str]:
        process, words = self._process, self._process.writer.words
        number = words[slot + CHAIN]
        chain = process.chain(number) if isinstance(process, Watched) else process.writer.text(number)
        site, *others = chain.split("\n")
        engine = process.writer.text(words[slot + ENGINE])
        yield f"connection not released: {site}"
        callers = takewhile(lambda line: not line.startswith(_RUNNERS), others)
        yield from (f"  called from {caller}" for caller in callers)
        if engine != OTHER:
            yield f"  a connection to {engine}"
