"""Claim a segment: adopt one that nobody lives in, or make a new one, born whole.

So 100,000 work horses one after another leave as many files as ever ran at once, and no counter ever falls.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from ullage import locks
from ullage.leaks import Leaks
from ullage.metrics import LEAK_KINDS, LEAKS_TOTAL
from ullage.segment import Identity, SegmentWriter, UnreadableSegmentError, read_once
from ullage.segment import layout as at

SUFFIX = ".seg"
UNBORN_SUFFIX = ".new"
# A directory that fills with files nobody can adopt (another uid's, damaged ones) must not fill the memory behind it.
MAX_FILES = 4096
# A file that its maker did not finish within this time is no longer being made.
UNBORN_SECONDS = 60.0


class ClaimError(Exception):
    """No segment can be had; the message says why and what to do."""


class Claim:
    """A segment of one's own, for as long as its lock descriptor is open."""

    def __init__(self, path: Path, lock_fd: int, writer: SegmentWriter) -> None:
        self.path = path
        self.writer = writer
        self.leaks = Leaks(writer)
        self._lock_fd = lock_fd
        status = os.fstat(lock_fd)
        self._file = (status.st_dev, status.st_ino)

    def abandon(self) -> None:
        """Close the lock descriptor, in a forked child or at the end.

        The application may have closed descriptors by range and reused the number: close it only if it still is ours.
        """
        with suppress(OSError):
            status = os.fstat(self._lock_fd)
            if (status.st_dev, status.st_ino) == self._file:
                os.close(self._lock_fd)


def claim(directory: Path, identity: Identity, threshold_seconds: float, hint: str = "") -> Claim:
    """Return a segment for this process.

    Args:
        directory: the segment directory; must exist.
        hint: the name of a file to try first.

    Raises:
        ClaimError: the directory is missing, full or not writable, or the platform has no such locks.
    """
    if not locks.SUPPORTED:
        raise ClaimError("this platform has no open-file-description locks; ullage needs Linux")
    try:
        paths = _candidates(directory, hint)
        found = next((taken for path in paths if (taken := _adopt(path, identity))), None)
        taken = found or _create(directory, identity)
        _begin(taken, threshold_seconds)
    except OSError as error:
        # Not an unborn file: its name is another one each time, and a forked child would not see that it is the same
        # problem as its parent's.
        file = error.filename
        where = f" ({file})" if file and not str(file).endswith(UNBORN_SUFFIX) else ""
        raise ClaimError(
            f"segment directory {directory}: {error.strerror}{where}; mount a writable emptyDir there or set ULLAGE_DIR"
        ) from error
    return taken


def _candidates(directory: Path, hint: str) -> Iterator[Path]:
    if hint.endswith(SUFFIX) and "/" not in hint:
        yield directory / hint
    for name in os.listdir(directory):  # noqa: PTH208  # names alone, without a Path object each
        if name.endswith(SUFFIX) and name != hint:
            yield directory / name


def _adopt(path: Path, identity: Identity) -> Claim | None:
    """Take over a segment that nobody holds and that an equal left; None when it is not to be had."""
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        if os.fstat(fd).st_size == at.SIZE and locks.acquire(fd, locks.OWNED) and _is_equal(fd, identity):
            # Allocated again: under a sparse file the first write kills the process when the disk is full.
            os.posix_fallocate(fd, 0, at.SIZE)
            taken = Claim(path, fd, _map(path))
            taken.writer.words[at.EPOCH] += 1.0
            taken.leaks.finish()
            return taken
    except (OSError, UnreadableSegmentError, ValueError, OverflowError, IndexError):
        pass  # damaged: the reader names it; here the next file is tried
    os.close(fd)
    return None


def _is_equal(fd: int, identity: Identity) -> bool:
    header = os.pread(fd, at.HEADER_BYTES, 0)
    if not header.startswith(identity.to_bytes()):
        return False
    read_once(fd, header, is_live=False)
    return math.isfinite(sum(memoryview(header[at.EPOCH * at.WORD :]).cast("d")))


def _map(path: Path) -> SegmentWriter:
    # Python's mmap keeps a duplicate of its descriptor, which would keep the lock: so it gets another open file.
    fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        return SegmentWriter(fd)
    finally:
        os.close(fd)


def _create(directory: Path, identity: Identity) -> Claim:
    names = os.listdir(directory)  # noqa: PTH208  # names alone, without a Path object each
    if len(names) >= MAX_FILES:
        raise ClaimError(f"segment directory {directory}: {len(names)} files, at most {MAX_FILES}; empty it")
    _sweep(directory, names)
    token = os.urandom(8).hex()
    unborn, path = directory / (token + UNBORN_SUFFIX), directory / (token + SUFFIX)
    fd = os.open(unborn, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    try:
        os.posix_fallocate(fd, 0, at.SIZE)
        os.fchmod(fd, 0o644)  # whatever the umask: the sidecar runs under another uid
        os.pwrite(fd, identity.to_bytes(), 0)
        locks.acquire(fd, locks.OWNED)
        taken = Claim(path, fd, _map(unborn))
        taken.writer.words[at.CREATED_WALL] = time.time()
        taken.writer.words[at.EPOCH] = 1.0
        unborn.rename(path)
    except BaseException:
        os.close(fd)
        unborn.unlink(missing_ok=True)
        raise
    return taken


def _sweep(directory: Path, names: list[str]) -> None:
    """Remove files whose maker was killed before they were born."""
    now = time.time()
    for name in names:
        if name.endswith(UNBORN_SUFFIX):
            with suppress(OSError):
                path = directory / name
                if now - path.stat().st_mtime > UNBORN_SECONDS:
                    path.unlink()


def _begin(taken: Claim, threshold_seconds: float) -> None:
    """Make the segment this process's: void gauges, own times, every leak kind; at last the lock that says live."""
    words = taken.writer.words
    for gauge in range(at.GAUGES, at.GAUGES + int(words[at.GAUGES_USED])):
        words[gauge] = math.nan
    words[at.PID] = float(os.getpid())
    words[at.STARTED_WALL] = time.time()
    words[at.STARTED_MONOTONIC] = time.monotonic()
    words[at.THRESHOLD] = threshold_seconds
    if words[at.SERIES_USED] == 0.0:
        for kind in LEAK_KINDS:
            taken.writer.counter(LEAKS_TOTAL, kind)
    locks.acquire(taken._lock_fd, locks.LIVE)
