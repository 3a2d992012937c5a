"""The heartbeat file of a worker: its modification time says when the worker's main loop was last seen alive.

Standard library only, and little of it: a liveness probe runs the check every few seconds.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

log = logging.getLogger("ullage")

CHECK_OPTION = "--check-heartbeat"
MAX_AGE_OPTION = "--max-age"
# While Redis is away RQ tries again after at most 60 s, and touches nothing in between.
MAX_AGE_SECONDS = 120.0
# What RQ adds to every promise of its next heartbeat.
_RQ_GRACE_SECONDS = 60


class HeartbeatError(Exception):
    """The heartbeat file cannot be written where it should be."""


class Heartbeat:
    """The file, on the worker's side."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._pid = os.getpid()
        self._has_failed = False

    def start(self) -> None:
        """Make the file, or take it over from the container's previous life; raise HeartbeatError where that fails."""
        try:
            self._touch(0.0)
        except OSError as error:
            raise HeartbeatError(
                f"cannot write the heartbeat file {self._path}: {error.strerror}; "
                f"its directory must exist and be writable for uid {os.geteuid()}"
            ) from None

    def follow(self, worker: Any) -> None:
        """Touch the file at every heartbeat of an RQ worker: while idle, suspended and busy, and without Redis too."""
        send = worker.heartbeat

        def heartbeat(timeout: float | None = None, *args: Any, **kwargs: Any) -> Any:
            self._beat(_silence(worker, timeout))
            return send(timeout, *args, **kwargs)

        worker.heartbeat = heartbeat

    def _beat(self, silence_seconds: float) -> None:
        # A work horse sends a heartbeat too, which says nothing about the main loop.
        if os.getpid() != self._pid:
            return
        try:
            self._touch(silence_seconds)
            self._has_failed = False
        except OSError as error:
            if not self._has_failed:
                log.warning("cannot touch the heartbeat file %s: %s", self._path, error.strerror)
            self._has_failed = True

    def _touch(self, silence_seconds: float) -> None:
        os.close(os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644))
        when = time.time() + silence_seconds
        os.utime(self._path, (when, when))


def _silence(worker: Any, timeout: float | None) -> float:
    """Return for how much longer than usual the worker may be silent from now on.

    A worker that runs jobs in its own process is silent until its job times out, and says so in RQ's own terms.
    """
    if timeout is None:
        return 0.0
    return max(0.0, timeout - _RQ_GRACE_SECONDS - float(worker.job_monitoring_interval))


def is_check(arguments: Sequence[str]) -> bool:
    """Say whether the command line asks for a check rather than for a worker."""
    return any(argument.partition("=")[0] == CHECK_OPTION for argument in arguments)


def check(arguments: Sequence[str]) -> int:
    """Return 0 if the heartbeat file is young enough, else 1 with the reason on stderr."""
    import argparse
    import sys

    parser = argparse.ArgumentParser(prog="ullage worker", allow_abbrev=False)
    parser.add_argument(CHECK_OPTION, dest="path", metavar="PATH", required=True)
    parser.add_argument(MAX_AGE_OPTION, dest="seconds", metavar="SECONDS", type=float, default=MAX_AGE_SECONDS)
    chosen = parser.parse_args(arguments)
    reason = find_silence(chosen.path, chosen.seconds)
    if reason:
        print(f"ullage worker: {reason}", file=sys.stderr)
    return 1 if reason else 0


def find_silence(path: str, max_age_seconds: float) -> str | None:
    """Return why the worker counts as dead, or nothing."""
    try:
        age = time.time() - os.stat(path).st_mtime  # noqa: PTH116 - pathlib would double the time of a check
    except OSError as error:
        return f"heartbeat file {path}: {error.strerror}; is it the worker's --heartbeat-file?"
    if age > max_age_seconds:
        return f"heartbeat file {path}: last touched {age:.0f} s ago, more than {max_age_seconds:g} s"
    return None
