"""The segment: one fixed-size file that one process writes and the sidecar reads. This file is the format.

    +--------+---------+--------+-------+--------+-------+-------+
    | header | strings | series | cells | gauges | slots | leaks |
    +--------+---------+--------+-------+--------+-------+-------+

Everything that changes is a *word*: a native, 8-byte aligned float64, stored with one machine store.

- **header**: identity (magic, version, byte order, layout hash, uid, role, container), then words: epoch, times, how
  much of each table is used, what was dropped, and the journal of `leaks.py`.
- **strings**: records of a 2-byte length and UTF-8 text, each on an 8-byte boundary; a string's id is its offset + 8,
  so that 0 means none. Append-only.
- **series**: rows of 8 words: string id of the metric's spec, first cell (word index in the file), six label string
  ids. Append-only; the spec id is stored last and reveals the row.
- **cells**: counters, and histograms (one cell a bucket, not cumulated, then the sum). Kept over adoption.
- **gauges**: NaN means "no value". Void when no process lives, cleared at adoption.
- **slots**: outstanding checkouts, 8 words each; see `leaks.py` for their states.
- **leaks**: a ring of the last leaks, 16 words each, the last eight of them the job id as text.

Version rule: VERSION changes when a byte gets another meaning or place; a reader refuses versions that it does not
know, by name. A new metric, label or bucket needs no new version: each series carries its metric's spec.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b

from ullage.metrics import Metric

MAGIC = b"ULLAGE\r\n"
VERSION = 1
BYTE_ORDER = 0x01020304
# magic, version, byte order, layout hash, file size, uid, role, container
IDENTITY = struct.Struct("=8sII16sQQ32s64s")

LENGTH = struct.Struct("=H")  # before each string

WORD = 8
HEADER_BYTES = 1024
STRINGS = HEADER_BYTES
STRINGS_BYTES = 64 * 1024
ROW_WORDS = 8
SERIES = (STRINGS + STRINGS_BYTES) // WORD
SERIES_ROWS = 1024
CELLS = SERIES + SERIES_ROWS * ROW_WORDS
CELL_WORDS = 8 * 1024
GAUGES = CELLS + CELL_WORDS
GAUGE_WORDS = 512
SLOTS = GAUGES + GAUGE_WORDS
SLOT_WORDS = 8
SLOT_COUNT = 256
LEAKS = SLOTS + SLOT_COUNT * SLOT_WORDS
LEAK_WORDS = 16
LEAK_COUNT = 32
END = LEAKS + LEAK_COUNT * LEAK_WORDS
# Where a value goes that fits nowhere: as wide as the widest histogram, behind everything that is read.
SCRATCH = END
SIZE = (END + 32) * WORD

# Kept back for `reserved` metrics and for the series labelled `other`.
RESERVED_ROWS = 128
RESERVED_CELLS = 512
RESERVED_STRING_BYTES = 16 * 1024

# Header words, by index in the file.
EPOCH = 64  # adoptions so far, this owner's included
JOURNAL_SEQUENCE = 65  # odd while the journal below is valid
PID = 66
STARTED_WALL = 67
STARTED_MONOTONIC = 68
THRESHOLD = 69  # seconds after which a checkout counts as over the threshold
STRINGS_USED = 70  # bytes
SERIES_USED = 71  # rows
CELLS_USED = 72  # words
GAUGES_USED = 73  # words
SLOTS_USED = 74  # highest slot ever used, as a count
LEAKS_WRITTEN = 75
CREATED_WALL = 76
DROPPED_SERIES, DROPPED_STRINGS, DROPPED_SLOTS = 80, 81, 82
JOURNAL_SLOT, JOURNAL_STATE, JOURNAL_PAIRS = 96, 97, 98  # then pairs of (cell, target)

MAX_STRING_BYTES = 1000
MAX_LABELS = 6
OTHER = "other"

LAYOUT_HASH = blake2b(
    repr((VERSION, STRINGS_BYTES, SERIES_ROWS, CELL_WORDS, GAUGE_WORDS, SLOT_COUNT, LEAK_COUNT)).encode(),
    digest_size=16,
).digest()


class UnreadableSegmentError(Exception):
    """A file in the segment directory is no segment that this version reads; `reason` is a label value."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True)
class Identity:
    """What must be equal for one process to adopt another's segment."""

    role: str
    container: str
    uid: int

    def to_bytes(self) -> bytes:
        """Return the first bytes of the file."""
        role, container = self.role.encode()[:31], self.container.encode()[:63]
        return IDENTITY.pack(MAGIC, VERSION, BYTE_ORDER, LAYOUT_HASH, SIZE, self.uid, role, container)

    @classmethod
    def from_bytes(cls, data: bytes) -> Identity:
        """Read the first bytes of a file; raises UnreadableSegmentError with a named reason."""
        if len(data) < HEADER_BYTES:
            raise UnreadableSegmentError("too_short", f"{len(data)} bytes, a header has {HEADER_BYTES}")
        magic, version, order, layout, size, uid, role, container = IDENTITY.unpack_from(data)
        if magic != MAGIC:
            raise UnreadableSegmentError("bad_magic", f"starts with {magic!r}, a segment with {MAGIC!r}")
        if order != BYTE_ORDER:
            raise UnreadableSegmentError("byte_order", "written on a machine with the other byte order")
        if version != VERSION:
            message = f"version {version}, this exporter reads {VERSION}; run probe and exporter of one release"
            raise UnreadableSegmentError("unknown_version", message)
        if layout != LAYOUT_HASH or size != SIZE:
            raise UnreadableSegmentError("unknown_layout", f"layout {layout.hex()}, size {size}: not of this version")
        return cls(_text(role), _text(container), uid)


def _text(field: bytes) -> str:
    return field.rstrip(b"\0").decode("utf-8", "replace")


@dataclass(frozen=True)
class Series:
    """One row of the series table; `cell` is a word index in the file."""

    metric: Metric
    spec: str
    labels: tuple[str, ...]
    cell: int


def string_at(strings: bytes, string_id: int) -> str | None:
    """Return the string with this id, None where the bytes there are no string."""
    start = string_id - WORD
    if not 0 <= start <= len(strings) - 2:
        return None
    length = LENGTH.unpack_from(strings, start)[0]
    if length > MAX_STRING_BYTES or start + 2 + length > len(strings):
        return None
    return strings[start + 2 : start + 2 + length].decode("utf-8", "replace")


def walk_strings(strings: bytes) -> dict[str, int]:
    """Return every string with its id. A hole (a writer died between taking and filling it) is zeros, stepped over."""
    found: dict[str, int] = {}
    start = 0
    while start < len(strings):
        text = string_at(strings, start + WORD)
        if text:
            found.setdefault(text, start + WORD)
        size = 2 + len(text.encode()) if text else 2
        start += -(-size // WORD) * WORD
    return found


def parse_series(strings: bytes, rows: bytes) -> tuple[Series, ...]:
    """Read the series table, leaving out rows that make no sense."""
    words: memoryview[float] = memoryview(rows).cast("d")
    found = []
    for start in range(0, len(words), ROW_WORDS):
        try:
            found.append(_parse_row(strings, words[start : start + ROW_WORDS]))
        except (ValueError, OverflowError):
            continue
    return tuple(found)


@lru_cache(maxsize=512)
def _metric(spec: str) -> Metric:
    return Metric.from_spec(spec)


def _parse_row(strings: bytes, row: memoryview[float]) -> Series:
    spec = string_at(strings, int(row[0]))
    if not spec:
        raise ValueError("the row is not revealed yet")
    metric = _metric(spec)
    ids = row[2 : 2 + len(metric.labels)]
    labels = tuple([text for string_id in ids if (text := string_at(strings, int(string_id))) is not None])
    cell = int(row[1])
    low, high = (GAUGES, SLOTS) if metric.kind == "gauge" else (CELLS, GAUGES)
    if len(labels) != len(metric.labels) or not low <= cell <= high - metric.width:
        raise ValueError(f"series {metric.name}: {len(labels)} labels, cell {cell}")
    return Series(metric, spec, labels, cell)
