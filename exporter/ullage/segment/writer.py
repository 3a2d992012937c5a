"""The writing side of a segment: one process, many threads, no locks."""

from __future__ import annotations

import math
import mmap

from ullage.metrics import Metric
from ullage.segment import layout as at
from ullage.segment.layout import OTHER, WORD


class SegmentWriter:
    """Write one segment. One process, many threads, no locks.

    `words` is the whole file as float64. Probes ask once for a series' word index and then do `words[i] += x`, with x
    computed before: no call stands between the read and the store, so the GIL makes it atomic. Everything below that
    allocates does it by `start = used; used = start + n`, and publishes by `words[...] = used`, for the same reason:
    even a property or float() in between lets another thread take the same place, or announces less than there is.
    """

    def __init__(self, fd: int) -> None:
        """Map the open file `fd`, which has SIZE bytes and a lock in another descriptor; -1 is memory of one's own."""
        self._map = mmap.mmap(fd, at.SIZE)
        self.words = memoryview(self._map).cast("d")
        self._strings: dict[str, int] = {}
        self._series: dict[tuple[str, tuple[str, ...]], int] = {}
        self._free_gauges: dict[tuple[str, tuple[str, ...]], list[int]] = {}
        self._loaded = False
        self._strings_used = int(self.words[at.STRINGS_USED])
        self._rows_used = int(self.words[at.SERIES_USED])
        self._cells_used = int(self.words[at.CELLS_USED])
        self._gauges_used = int(self.words[at.GAUGES_USED])
        self.slots_used = int(self.words[at.SLOTS_USED])
        self.free_slots = [at.SLOTS + i * at.SLOT_WORDS for i in reversed(range(self.slots_used))]

    def counter(self, metric: Metric, *labels: str) -> int:
        """Return the word index of a counter, or of a histogram's first bucket."""
        index = self._series.get((metric.name, labels))
        return self._add(metric, labels) if index is None else index

    def gauge(self, metric: Metric, *labels: str) -> int:
        """Return the word index of a gauge of one's own; the reader combines those with equal labels."""
        self._load()
        try:
            return self._free_gauges[metric.name, labels].pop()
        except (KeyError, IndexError):
            pass
        index = self._gauges_used
        if index >= at.GAUGE_WORDS:
            self.words[at.DROPPED_SERIES] += 1.0
            return at.SCRATCH
        self._gauges_used = index + 1
        self.words[at.GAUGES + index] = math.nan
        self.words[at.GAUGES_USED] = self._gauges_used
        return at.GAUGES + index if self._publish(metric, labels, at.GAUGES + index) else at.SCRATCH

    def release_gauge(self, metric: Metric, labels: tuple[str, ...], index: int) -> None:
        """Give a gauge back; it has no value until another takes it."""
        if index < at.SCRATCH:
            self.words[index] = math.nan
            self._free_gauges.setdefault((metric.name, labels), []).append(index)

    def intern(self, text: str, *, reserved: bool = False) -> int:
        """Return the id of a string, writing it where it is new; the id of `other` when the table is full."""
        self._load()
        known = self._strings.get(text)
        if known is not None:
            return known
        data = text.encode("utf-8", "replace")[: at.MAX_STRING_BYTES]
        size = -(-(2 + len(data)) // WORD) * WORD
        limit = at.STRINGS_BYTES if reserved else at.STRINGS_BYTES - at.RESERVED_STRING_BYTES
        start = self._strings_used
        if start + size > limit:
            self.words[at.DROPPED_STRINGS] += 1.0
            return 0 if text == OTHER else self.intern(OTHER, reserved=True)
        self._strings_used = start + size
        offset = at.STRINGS + start
        self._map[offset : offset + 2 + len(data)] = at.LENGTH.pack(len(data)) + data
        self.words[at.STRINGS_USED] = self._strings_used
        return self._strings.setdefault(text, start + WORD)

    def text(self, string_id: float) -> str:
        """Return the string with this id, '' for none."""
        return at.string_at(self._map[at.STRINGS : at.STRINGS + self._strings_used], int(string_id)) or ""

    def write_text(self, word: int, text: str, words: int) -> None:
        """Store a text that is too short-lived to intern (a job id) in `words` words."""
        data = text.encode("utf-8", "replace")[: words * WORD]
        self._map[word * WORD : (word + words) * WORD] = data.ljust(words * WORD, b"\0")

    def take_slot(self) -> int:
        """Return the first word of a free slot, SCRATCH when all are taken."""
        free = self.free_slots
        if free:
            slot = free[-1]
            del free[-1]
            return slot
        used = self.slots_used
        if used < at.SLOT_COUNT:
            self.slots_used = used + 1
            self.words[at.SLOTS_USED] = self.slots_used
            return at.SLOTS + used * at.SLOT_WORDS
        self.words[at.DROPPED_SLOTS] += 1.0
        return at.SCRATCH

    def _add(self, metric: Metric, labels: tuple[str, ...]) -> int:
        self._load()
        key = (metric.name, labels)
        if key in self._series:
            return self._series[key]
        width = metric.width
        limit = at.CELL_WORDS if metric.reserved or OTHER in labels else at.CELL_WORDS - at.RESERVED_CELLS
        cell = self._cells_used
        if cell + width <= limit:
            self._cells_used = cell + width
            self.words[at.CELLS_USED] = self._cells_used
            if self._publish(metric, labels, at.CELLS + cell):
                return self._series.setdefault(key, at.CELLS + cell)
        return self._overflow(metric, labels)

    def _overflow(self, metric: Metric, labels: tuple[str, ...]) -> int:
        others = (OTHER,) * len(labels)
        if labels == others:
            return at.SCRATCH
        self.words[at.DROPPED_SERIES] += 1.0
        return self.counter(metric, *others)

    def _publish(self, metric: Metric, labels: tuple[str, ...], cell: int) -> bool:
        """Write a series row; False when the table is full."""
        reserved = metric.reserved or OTHER in labels
        ids = [self.intern(label, reserved=reserved) for label in labels]
        spec = self.intern(metric.spec, reserved=True)
        row = self._rows_used
        if spec == 0 or row >= at.SERIES_ROWS - (0 if reserved else at.RESERVED_ROWS):
            return False
        self._rows_used = row + 1
        start = at.SERIES + row * at.ROW_WORDS
        self.words[start] = 0.0  # it may hold what a killed predecessor did not announce
        for position, string_id in enumerate(ids, start + 2):
            self.words[position] = float(string_id)
        self.words[start + 1] = float(cell)
        self.words[start] = float(spec)
        self.words[at.SERIES_USED] = self._rows_used
        return True

    def _load(self) -> None:
        """Learn what an adopted file holds. Late, at the first new series: a claim after a fork must be short."""
        if self._loaded:
            return
        self._loaded = True
        strings = self._map[at.STRINGS : at.STRINGS + self._strings_used]
        self._strings.update(at.walk_strings(strings))
        rows = self._map[at.SERIES * WORD : (at.SERIES + self._rows_used * at.ROW_WORDS) * WORD]
        for series in at.parse_series(strings, rows):
            key = (series.metric.name, series.labels)
            if series.metric.kind == "gauge":
                self._free_gauges.setdefault(key, []).append(series.cell)
            elif series.metric.spec == series.spec:
                self._series.setdefault(key, series.cell)


class Hint:
    """A short text in memory that a parent and its forked children share; the last one to write wins."""

    SIZE = 64

    def __init__(self) -> None:
        self._map = mmap.mmap(-1, self.SIZE)

    def get(self) -> str:
        """Return the text, '' when there is none; nonsense when two wrote at once."""
        return self._map[:].rstrip(b"\0").decode("ascii", "ignore")

    def set(self, text: str) -> None:
        """Store a text."""
        self._map[:] = self.shortened(text).encode("ascii").ljust(self.SIZE, b"\0")

    def shortened(self, text: str) -> str:
        """Return what `get` returns of a text that is stored."""
        return text.encode("ascii", "ignore")[: self.SIZE].decode("ascii")
