"""This process's segment: claimed at install, claimed anew in every forked child, given up without harm.

Probes write through `claim.writer` and register a `Probe` to be told when the writer changes.
"""

from __future__ import annotations

import functools
import logging
import os
import sys
from collections.abc import Callable
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from ullage import claim as claims
from ullage.leaks import Leaks
from ullage.metrics import PROBE_UP
from ullage.probe.sites import Sites
from ullage.segment import Hint, Identity, SegmentWriter
from ullage.settings import ProbeSettings

log = logging.getLogger("ullage")

_OWN_DIRECTORY = str(Path(__file__).parent.parent) + os.sep
# An error of these modules' code, called by a probe, is the probe's error.
_OWN_FILES = (_OWN_DIRECTORY, f"{os.sep}sqlalchemy{os.sep}")


class Work:
    """What the process is at: a request or a job. Checkouts made meanwhile belong to it.

    `label_id` is the string id of its queue, a line break, and its function or route; a request has no queue.
    """

    __slots__ = ("job_id", "label_id", "sessions", "thread")

    def __init__(self, label_id: float = 0.0, job_id: str = "") -> None:
        self.label_id = label_id
        self.job_id = job_id
        # Of a job: the thread that performs it, as threads may inherit its context; and the sessions that it began.
        self.thread = 0
        self.sessions: dict[int, Any] | None = None


# A context variable, not the thread: asyncio tasks and greenlets share one.
current_work: ContextVar[Work | None] = ContextVar("ullage_work", default=None)


class Probe:
    """One instrumented library.

    `rebind` is called at install and in every forked child, with `process` up to date; `silence` when the probe failed.
    """

    def __init__(self, name: str, rebind: Callable[[], None], silence: Callable[[], None]) -> None:
        self.name = name
        self.rebind = rebind
        self.silence = silence
        self.failed = False
        self.up = 0  # the gauge's word


class Wraps:
    """Methods that a probe has replaced, so that they can be put back."""

    def __init__(self) -> None:
        # Class, name, original and replacement.
        self.methods: list[tuple[type, str, Any, Any]] = []

    def put_on(self, kind: type, name: str, wrap: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
        """Replace a method by what `wrap` makes of it."""
        original = getattr(kind, name)
        wrapped = functools.wraps(original)(wrap(original))
        self.methods.append((kind, name, original, wrapped))
        setattr(kind, name, wrapped)

    def take_off(self) -> None:
        """Put the originals back, but where somebody has wrapped the method after us."""
        for kind, name, original, wrapped in self.methods:
            if getattr(kind, name) is wrapped:
                setattr(kind, name, original)


class Process:
    """The state that all probes of a process share."""

    def __init__(self, settings: ProbeSettings) -> None:
        self.settings = settings
        self.identity = Identity(settings.role, settings.container, os.geteuid())
        self.probes: dict[str, Probe] = {}
        # Called at the end of each job, before it is judged: what they release counts as released.
        self.after_job: list[Callable[[], None]] = []
        # Called first in a forked child.
        self.after_fork: list[Callable[[], None]] = []
        self.sites = Sites(lambda text: float(self.writer.intern(text, reserved=True)), settings.skip_frames)
        # What a piece of work still has checked out; the pool probe's to say.
        self.fairies_of: Callable[[Work, list[int]], dict[int, Any]] = lambda *_: {}
        self.held_by: Callable[[Work], list[int]] = lambda _: []
        self.hint = Hint()
        # Why there is no segment; '' when there is one.
        self.problem = ""
        self._claim: claims.Claim | None = None
        self._start()

    def _start(self) -> None:
        self._claim = self._try_claim()
        # Without a segment the same code writes to memory that nobody reads.
        self.writer = self._claim.writer if self._claim else SegmentWriter(-1)
        self.leaks = self._claim.leaks if self._claim else Leaks(self.writer)

    def _try_claim(self) -> claims.Claim | None:
        if not getattr(sys, "_is_gil_enabled", lambda: True)():
            self._complain("on a free-threaded build its counters would lose increments")
            return None
        try:
            claim = claims.claim(
                self.settings.directory, self.identity, self.settings.leak_threshold_seconds, self.hint.get()
            )
        except claims.ClaimError as error:
            self._complain(str(error))
            return None
        self.problem = ""
        return claim

    def _complain(self, problem: str) -> None:
        """Say why there is no segment; not again in forked children, of which a worker has one a job."""
        if problem != self.problem:
            log.warning("ullage is off in process %d: %s", os.getpid(), problem)
        self.problem = problem

    @property
    def segment(self) -> str:
        """The path of this process's segment, '' when it has none."""
        return str(self._claim.path) if self._claim else ""

    def leave(self) -> None:
        """Give the segment up, in a forked child or when it is not needed."""
        if self._claim:
            self._claim.abandon()

    def add(self, probe: Probe) -> None:
        """Register a probe and bind it."""
        self.probes[probe.name] = probe
        self._bind(probe)

    def _bind(self, probe: Probe) -> None:
        probe.up = self.writer.gauge(PROBE_UP, probe.name)
        self.writer.words[probe.up] = 0.0 if probe.failed else 1.0
        probe.rebind()

    def after_fork_in_child(self) -> None:
        """Leave the parent's segment and claim one."""
        self.leave()
        self._start()
        self.sites.clear()
        if self._claim:
            self.hint.set(self._claim.path.name)
        for probe in self.probes.values():
            self._bind(probe)

    def swallow(self, name: str, error: BaseException) -> None:
        """Deal with an exception that reached a probe: called in its `except`, raises again what is not the probe's.

        RQ's timeout is raised by a signal handler at any bytecode, in a probe's too. Such an exception comes from a
        frame of another file, or is of a class that no code here raises.
        """
        if not _is_own(error):
            raise error
        probe = self.probes.get(name)
        if probe is None or probe.failed:
            return
        probe.failed = True
        self.writer.words[probe.up] = 0.0
        log.error("ullage: probe %s failed and measures no more: %s: %s", name, type(error).__name__, error)
        probe.silence()


def _is_own(error: BaseException) -> bool:
    if not isinstance(error, Exception) or type(error).__module__.partition(".")[0] not in (
        "builtins",
        "sqlalchemy",
        "ullage",
    ):
        return False
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    filename = trace.tb_frame.f_code.co_filename if trace else ""
    return any(part in filename for part in _OWN_FILES)


_process: Process | None = None


def start(settings: ProbeSettings, kind: type[Process] = Process) -> Process:
    """Return the process's state, claiming a segment the first time."""
    global _process
    if _process is None:
        made = kind(settings)
        # Nothing is called between the look and the store: another thread may have made one meanwhile.
        if _process is None:
            _process = made
            os.register_at_fork(after_in_child=_after_fork_in_child)
        else:
            made.leave()  # type: ignore[unreachable]  # to who knows one thread only
    return _process


def _after_fork_in_child() -> None:
    if _process is None:
        return
    try:
        for leave in _process.after_fork:
            leave()
        _process.after_fork_in_child()
    except Exception as error:  # noqa: BLE001 - the child is the application's, and goes on without a probe
        log.error("ullage is off in process %d: %s: %s", os.getpid(), type(error).__name__, error)
