"""The reading side of a segment: pread, no locks, no trust."""

from __future__ import annotations

import math
import os
import sys
from dataclasses import dataclass

from ullage import locks
from ullage.segment import layout as at
from ullage.segment.layout import WORD, Identity, Series, UnreadableSegmentError, parse_series, string_at


@dataclass(frozen=True)
class Snapshot:
    """One consistent reading of a segment. Sequences of words are lists that start at the section's first word."""

    identity: Identity
    is_live: bool
    header: memoryview[float]
    strings: bytes
    rows: bytes
    cells: memoryview[float]
    gauges: memoryview[float]
    slots: memoryview[float]
    leaks: bytes

    @property
    def series(self) -> tuple[Series, ...]:
        """The series table."""
        return parse_series(self.strings, self.rows)

    def text(self, string_id: float) -> str:
        """Return the string with this id, '' for none; never raises."""
        return (string_at(self.strings, int(string_id)) or "") if math.isfinite(string_id) else ""


# An adoption moves epoch and journal some hundred times at most, each within microseconds.
ATTEMPTS = 1000
# Most segments' strings come with the header.
_HEAD_BYTES = at.HEADER_BYTES + 8 * 1024
_TOP_BYTE = WORD - 1 if sys.byteorder == "little" else 0


def read_segment(fd: int) -> Snapshot:
    """Read a segment through a read-only descriptor, with pread alone: a mapping of a truncated file is SIGBUS.

    The reading is taken again when the owner, its life or the journal changed meanwhile, so that a scrape across an
    adoption counts each checkout once.

    Raises:
        UnreadableSegmentError: the file is no segment that this version reads.
    """
    for _ in range(ATTEMPTS):
        is_live = locks.is_held(fd, locks.LIVE)
        head = os.pread(fd, _HEAD_BYTES, 0)
        header = head[: at.HEADER_BYTES]
        snapshot = read_once(fd, header, is_live, head[at.HEADER_BYTES :])
        after = os.pread(fd, 2 * WORD, at.EPOCH * WORD)
        if after == header[at.EPOCH * WORD : (at.EPOCH + 2) * WORD] and locks.is_held(fd, locks.LIVE) == is_live:
            return snapshot
    raise UnreadableSegmentError("unstable", f"changed during each of {ATTEMPTS} readings")


def read_once(fd: int, header: bytes, is_live: bool, strings_start: bytes = b"") -> Snapshot:
    """Read and check the parts that `header` announces; raises UnreadableSegmentError.

    `strings_start` is the beginning of the string table where it came with the header.
    """
    identity = Identity.from_bytes(header)
    words: memoryview[float] = memoryview(header).cast("d")
    try:
        strings, rows, cells, gauges, slots = map(int, words[at.STRINGS_USED : at.SLOTS_USED + 1])
    except (ValueError, OverflowError):
        raise UnreadableSegmentError("garbage", "the header's counts are no numbers") from None
    if not (
        0 <= strings <= at.STRINGS_BYTES
        and 0 <= rows <= at.SERIES_ROWS
        and 0 <= cells <= at.CELL_WORDS
        and 0 <= gauges <= at.GAUGE_WORDS
        and 0 <= slots <= at.SLOT_COUNT
    ):
        raise UnreadableSegmentError("garbage", "a table in the header is longer than it can be")
    values = _pread(fd, cells * WORD, at.CELLS * WORD)
    # Sign and exponent alone: making a float of each cell costs ten times as much. 0x7f is 1e303 and up, inf and NaN.
    tops = values[_TOP_BYTE::WORD]
    if not tops.isascii() or b"\x7f" in tops:
        raise UnreadableSegmentError("garbage", "a counter is negative or no number")
    # Gauges and slots lie side by side.
    first = at.SLOTS if not is_live else at.GAUGES
    levels = memoryview(_pread(fd, (at.SLOTS - first + slots * at.SLOT_WORDS) * WORD, first * WORD)).cast("d")
    return Snapshot(
        identity,
        is_live,
        words,
        strings_start[:strings] if strings <= len(strings_start) else _pread(fd, strings, at.STRINGS),
        _pread(fd, rows * at.ROW_WORDS * WORD, at.SERIES * WORD),
        memoryview(values).cast("d"),
        levels[: gauges if is_live else 0],
        levels[at.SLOTS - first :],
        _pread(fd, at.LEAK_COUNT * at.LEAK_WORDS * WORD if words[at.LEAKS_WRITTEN] else 0, at.LEAKS * WORD),
    )


def _pread(fd: int, size: int, offset: int) -> bytes:
    data = os.pread(fd, size, offset) if size else b""
    if len(data) < size:
        raise UnreadableSegmentError("too_short", f"{len(data)} of {size} bytes at offset {offset}")
    return data
