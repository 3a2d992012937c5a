"""Open-file-description locks: who writes a segment, and whether it still lives.

They belong to the open file, not to the process, so they say the truth across pid namespaces, and the kernel frees
them on `kill -9`. POSIX locks would be dropped by any other close of the file in the same process.
"""

from __future__ import annotations

import fcntl
import os
import sys

# Two bytes of the file are locked, one for each question.
OWNED = 0  # held from the claim on: nobody else may adopt
LIVE = 1  # held once the adoption is complete: the writer lives

SUPPORTED = sys.platform == "linux" and hasattr(fcntl, "F_OFD_SETLK")


def _flock(kind: int, offset: int) -> bytes:
    """Return struct flock: l_type, l_whence, padding, l_start, l_len, l_pid (must be 0), padding."""
    order = sys.byteorder
    return (
        kind.to_bytes(2, order)
        + os.SEEK_SET.to_bytes(2, order)
        + bytes(4)
        + offset.to_bytes(8, order)
        + (1).to_bytes(8, order)
        + bytes(8)
    )


_QUESTION = {offset: _flock(fcntl.F_WRLCK, offset) for offset in (OWNED, LIVE)}
_FREE = fcntl.F_UNLCK.to_bytes(2, sys.byteorder)


def acquire(fd: int, offset: int) -> bool:
    """Take the lock without waiting; False when another open file holds it."""
    try:
        fcntl.fcntl(fd, fcntl.F_OFD_SETLK, _QUESTION[offset])
    except (BlockingIOError, PermissionError):
        return False
    return True


def is_held(fd: int, offset: int) -> bool:
    """Tell whether another open file holds the lock; a read-only descriptor will do."""
    return not fcntl.fcntl(fd, fcntl.F_OFD_GETLK, _QUESTION[offset]).startswith(_FREE)
