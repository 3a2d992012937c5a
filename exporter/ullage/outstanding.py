"""The reading side of `leaks.py`: connections that are out, leaks not yet in a counter, and the ring of last leaks."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ullage.leaks import (
    CHAIN,
    COUNTED,
    ENGINE,
    ENTRY_JOB,
    ENTRY_KIND,
    ENTRY_SEQUENCE,
    ENTRY_STRINGS,
    ENTRY_TIME,
    FREE,
    LEVEL,
    OPEN,
    PENDING,
    STARTED,
    WAITING,
    WORK,
    journal,
    uncounted_kind,
)
from ullage.metrics import LEAK_KINDS, LEVELS
from ullage.segment import Snapshot
from ullage.segment import layout as at


@dataclass(frozen=True)
class Outstanding:
    """A slot in use. `uncounted` is the leak kind that no counter holds yet, if any."""

    is_waiting: bool
    is_unreleased: bool
    uncounted: str | None
    started: float
    engine: str
    queue: str
    function: str
    level: str
    frames: tuple[str, ...]

    @property
    def site(self) -> str:
        """The line of user code that checked the connection out."""
        return self.frames[0] if self.frames else ""


def counters(snapshot: Snapshot) -> list[float]:
    """Return the segment's cells, with the targets of a valid journal in their place."""
    cells: list[Any] = snapshot.cells.tolist()
    entry = journal(snapshot.header)
    for cell, target in entry[2] if entry else ():
        if cell - at.CELLS < len(cells):
            cells[cell - at.CELLS] = target
    return cells


def outstanding(snapshot: Snapshot, now: float) -> Iterator[Outstanding]:
    """Yield the slots in use; `now` is this machine's monotonic clock."""
    entry = journal(snapshot.header)
    journaled = {(entry[0] - at.SLOTS): entry[1]} if entry else {}
    threshold = snapshot.header[at.THRESHOLD]
    states = snapshot.slots[:: at.SLOT_WORDS].tolist()
    if not journaled and not any(states):
        return
    for index, stored in enumerate(states):
        start = index * at.SLOT_WORDS
        state = journaled.get(start, stored)
        if state == FREE or not math.isfinite(state):
            continue
        words = snapshot.slots[start : start + at.SLOT_WORDS]
        is_over = state == OPEN and now - words[STARTED] > threshold
        chain = snapshot.text(words[CHAIN])
        queue, _, function = snapshot.text(words[WORK]).partition("\n")
        yield Outstanding(
            is_waiting=state == WAITING,
            is_unreleased=snapshot.is_live and (is_over or state == COUNTED or state >= PENDING),
            uncounted=uncounted_kind(state, snapshot.is_live),
            started=words[STARTED],
            engine=snapshot.text(words[ENGINE]),
            queue=queue,
            function=function,
            level=LEVELS[int(words[LEVEL])] if words[LEVEL] in range(len(LEVELS)) else LEVELS[0],
            frames=tuple(chain.split("\n")) if chain else (),
        )


def last_leaks(snapshot: Snapshot) -> Iterator[dict[str, object]]:
    """Yield the ring's entries; one that is being written is left out."""
    words: memoryview[float] = memoryview(snapshot.leaks).cast("d")
    for start in range(0, len(words), at.LEAK_WORDS):
        entry = words[start : start + at.LEAK_WORDS]
        sequence, kind = entry[ENTRY_SEQUENCE], entry[ENTRY_KIND]
        if sequence > 0 and sequence % 2 == 0 and kind in range(len(LEAK_KINDS)):
            job = bytes(snapshot.leaks[(start + ENTRY_JOB) * at.WORD : (start + at.LEAK_WORDS) * at.WORD])
            engine, chain, work = (snapshot.text(entry[ENTRY_STRINGS + n]) for n in range(3))
            queue, _, function = work.partition("\n")
            yield _leak(
                snapshot, entry[ENTRY_TIME], LEAK_KINDS[int(kind)], engine, chain.split("\n"), function, queue, job
            )


def uncounted_leak(snapshot: Snapshot, found: Outstanding) -> dict[str, object]:
    """Return a leak of a dead process, which is in no ring yet; when it happened is not known."""
    frames = list(found.frames)
    return _leak(snapshot, None, found.uncounted or "", found.engine, frames, found.function, found.queue, b"")


def _leak(
    snapshot: Snapshot,
    counted_at: float | None,
    kind: str,
    engine: str,
    frames: list[str],
    function: str,
    queue: str,
    job: bytes,
) -> dict[str, object]:
    return {
        "time": counted_at,
        "kind": kind,
        "role": snapshot.identity.role,
        "container": snapshot.identity.container,
        "engine": engine,
        "queue": queue,
        "function": function,
        "site": frames[0] if frames else "",
        "frames": frames,
        "job_id": job.rstrip(b"\0").decode("utf-8", "replace"),
    }
