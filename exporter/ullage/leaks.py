"""What becomes of an outstanding checkout: the states of a slot, and counting each leak exactly once.

A checkout that is to be counted moves through one store, the slot's state, and then through the journal:

1. its state becomes PENDING + kind: from here on a reader adds it to what the counters hold;
2. the journal gets the target values of the counters and the slot's next state, and its sequence becomes odd: a reader
   takes target and state from the journal instead;
3. counters and state are stored, and the sequence becomes even again.

A writer killed between any two stores leaves a file that reads the same as before; the next adopter finishes from the
journal. The same code serves the living process and the adopter.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable

from ullage.metrics import LEAK_KINDS, LEAKS_TOTAL, LEVELS, UNRELEASED_TOTAL
from ullage.segment import SegmentWriter, UnreadableSegmentError
from ullage.segment import layout as at

# Words of a slot.
STATE = 0
STARTED = 1  # seconds of the monotonic clock
ENGINE = 2  # string ids from here on
CHAIN = 3  # call site and its callers, one a line
WORK = 4  # what it was for: the job's queue, a line break, the job's function or the request's route
RETURNED = 5  # 1 when the connection came back while its leak was still to be counted
POOL = 6  # the pool's serial number in its process
LEVEL = 7  # index in LEVELS

# States of a slot.
FREE = 0.0
WAITING = 1.0  # the request waits for a connection
OPEN = 2.0
COUNTED = 3.0  # still out, and counted as a leak
KEPT = 4.0  # still out, and declared to be kept on purpose
PENDING = 16  # plus the index in LEAK_KINDS: to be counted

KIND_INDEX = {kind: index for index, kind in enumerate(LEAK_KINDS)}
# Found while the connection is still out; the other kinds are found when it is not.
HELD = ("held_at_request_end", "held_at_job_end")

# Words of an entry of the ring of last leaks.
ENTRY_SEQUENCE, ENTRY_TIME, ENTRY_KIND, ENTRY_STRINGS, ENTRY_JOB = 0, 1, 2, 3, 8


def uncounted_kind(state: float, is_live: bool) -> str | None:
    """Return the kind under which a slot counts although no counter holds it yet."""
    if state == OPEN:
        return None if is_live else "died_with_process"
    index = int(state) - PENDING
    return LEAK_KINDS[index] if 0 <= index < len(LEAK_KINDS) else None


class Leaks:
    """Count leaks in the segment's counters. Never waits: what cannot be counted now is counted by whoever is at it."""

    def __init__(self, writer: SegmentWriter, wall_clock: Callable[[], float] = time.time) -> None:
        self._writer = writer
        self._wall_clock = wall_clock
        # Slots whose state is PENDING, each with its job. Whoever finds the flag down counts, and nobody waits: not
        # even a listener that the garbage collector runs amid the counting.
        self.pending: deque[tuple[int, str]] = deque()
        self._is_counting = False

    def count(self, slot: int, kind: str, job_id: str = "") -> None:
        """Count the checkout in `slot` once under `kind`; held ones stay out, others free their slot."""
        words, pending = self._writer.words, float(PENDING + KIND_INDEX[kind])
        # No call from here to the store: of two threads, one counts.
        if words[slot] != OPEN:
            return
        words[slot + RETURNED] = 0.0
        words[slot] = pending
        self.pending.append((slot, job_id))
        self.count_pending()

    def count_pending(self) -> None:
        """Count what is to be counted, unless somebody is at it."""
        while self.pending and not self._is_counting:
            # No call since the test, so that of two threads one gets here, and none is broken off before the `try`.
            self._is_counting = True
            try:
                self._count_first()
            finally:
                self._is_counting = False

    def finish(self) -> None:
        """Count what a dead predecessor left: its journal, its pending leaks, and what it had checked out."""
        words = self._writer.words
        replay(self._writer)
        for slot in self._writer.free_slots:
            kind = uncounted_kind(words[slot], is_live=False)
            if kind:
                words[slot + RETURNED] = 1.0  # whatever the kind, nobody will bring it back
                self._fold(slot, kind, "")
            words[slot] = words[slot + POOL] = words[slot + RETURNED] = words[slot + LEVEL] = FREE

    def _count_first(self) -> None:
        """Called by the one who is at it."""
        try:
            slot, job_id = self.pending[0]
        except IndexError:
            return
        words = self._writer.words
        replay(self._writer)  # of a call that an exception broke off: then this slot is counted by it
        kind = uncounted_kind(words[slot], is_live=True)
        if kind:
            self._fold(slot, kind, job_id)
        is_free = words[at.JOURNAL_STATE] == FREE
        # It may have come back while it was being counted. No call from the test to the store: see `returned`.
        if not is_free and words[slot + RETURNED] and words[slot] == COUNTED:
            words[slot] = FREE
            is_free = True
        self.pending.popleft()
        if is_free:
            self._give_back(slot)

    def returned(self, slot: int) -> None:
        """Called when a connection comes back that was counted, or is about to be: whoever is last frees the slot."""
        words = self._writer.words
        words[slot + RETURNED] = 1.0
        if words[slot] in (COUNTED, KEPT):
            words[slot] = FREE
            self._give_back(slot)

    def _give_back(self, slot: int) -> None:
        words = self._writer.words
        words[slot + RETURNED] = words[slot + POOL] = words[slot + LEVEL] = 0.0
        self._writer.free_slots.append(slot)

    def _fold(self, slot: int, kind: str, job_id: str) -> None:
        writer, words = self._writer, self._writer.words
        replay(writer)
        engine = writer.text(words[slot + ENGINE])
        queue, _, function = writer.text(words[slot + WORK]).partition("\n")
        site = writer.text(words[slot + CHAIN]).partition("\n")[0]
        level = LEVELS[int(words[slot + LEVEL])]
        cells = (
            # Harmless by itself, and so no leak: a session that holds nothing.
            at.SCRATCH if level == "lingering" else writer.counter(LEAKS_TOTAL, kind),
            writer.counter(UNRELEASED_TOTAL, engine, queue, function, site, kind, level),
        )
        stays_out = kind in HELD and not words[slot + RETURNED]
        words[at.JOURNAL_SLOT] = float(slot)
        words[at.JOURNAL_STATE] = COUNTED if stays_out else FREE
        for position, cell in zip((at.JOURNAL_PAIRS, at.JOURNAL_PAIRS + 2), cells, strict=True):
            words[position] = float(cell)
            words[position + 1] = words[cell] + 1.0
        self._remember(slot, kind, job_id)
        words[at.JOURNAL_SEQUENCE] += 1.0
        replay(writer)

    def _remember(self, slot: int, kind: str, job_id: str) -> None:
        """Put the leak into the ring. Its entry is odd while it is written; a reader leaves that one out."""
        words = self._writer.words
        written = words[at.LEAKS_WRITTEN]
        entry = at.LEAKS + int(written) % at.LEAK_COUNT * at.LEAK_WORDS
        words[entry + ENTRY_SEQUENCE] = 2.0 * written + 1.0
        words[entry + ENTRY_TIME] = self._wall_clock()
        words[entry + ENTRY_KIND] = float(KIND_INDEX[kind])
        for position, word in enumerate((ENGINE, CHAIN, WORK), entry + ENTRY_STRINGS):
            words[position] = words[slot + word]
        self._writer.write_text(entry + ENTRY_JOB, job_id, at.LEAK_WORDS - ENTRY_JOB)
        words[entry + ENTRY_SEQUENCE] = 2.0 * written + 2.0
        words[at.LEAKS_WRITTEN] = written + 1.0


def journal(words: memoryview[float]) -> tuple[int, float, list[tuple[int, float]]] | None:
    """Return slot, its next state and (cell, target) pairs while the journal is valid, else None.

    `words` may be a whole file or its header. Raises UnreadableSegmentError when the journal points elsewhere than to
    a slot and to cells, or holds what is no state or count.
    """
    if words[at.JOURNAL_SEQUENCE] % 2.0 != 1.0:
        return None
    slot, state, cell, target, cell2, target2 = words[at.JOURNAL_SLOT : at.JOURNAL_PAIRS + 4].tolist()
    in_slots = at.SLOTS <= slot <= at.LEAKS - at.SLOT_WORDS and slot % at.SLOT_WORDS == at.SLOTS % at.SLOT_WORDS
    in_cells = all(at.CELLS <= c < at.GAUGES or c == at.SCRATCH for c in (cell, cell2))
    if not (in_slots and in_cells):
        raise UnreadableSegmentError("garbage", f"the journal points to slot {slot}, cells {cell} and {cell2}")
    if not all(0.0 <= value < math.inf for value in (state, target, target2)):
        raise UnreadableSegmentError("garbage", f"the journal holds state {state}, counts {target} and {target2}")
    return int(slot), state, [(int(cell), target), (int(cell2), target2)]


def replay(writer: SegmentWriter) -> None:
    """Finish what the journal holds. Stores only targets, so that doing it twice changes nothing."""
    words = writer.words
    entry = journal(words)
    if entry is None:
        return
    slot, state, targets = entry
    for cell, target in targets:
        words[cell] = target
    words[slot] = state
    words[at.JOURNAL_SEQUENCE] += 1.0
