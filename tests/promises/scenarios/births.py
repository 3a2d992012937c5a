"""Many threads that make new series at once, in a segment that is read meanwhile."""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path
from typing import Any

from tests.promises.readings import cells_of
from tests.promises.scenarios import run
from tests.promises.scenarios.contention import SWITCH_SECONDS
from ullage.claim import claim
from ullage.metrics import POOL_USE, REQUESTS
from ullage.segment import Identity, SegmentWriter

THREADS = 12
# Room is left for shared series that several threads publish at the same time.
COUNTERS, HISTOGRAMS = 40, 10


def main(directory: str, rounds: int) -> dict[str, Any]:
    """In each round, let the threads fill a new segment, and compare every series with what they did."""
    sys.setswitchinterval(SWITCH_SECONDS)
    found = {"series": 0, "wrong": 0, "fell": 0, "readings": 0}
    for number in range(rounds):
        path = Path(directory) / str(number)
        path.mkdir()
        fill = _Round(path)
        found["series"] += fill.series
        found["wrong"] += fill.wrong
        found["fell"] += fill.fell
        found["readings"] += fill.readings
    return found


class _Round:
    """One segment, filled once."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.fell = self.readings = 0
        claimed = claim(directory, Identity("web", "", 0), 60.0)
        self._write_at_once(claimed.writer)
        cells, _ = cells_of(directory, time.monotonic())
        wanted = _wanted()
        self.series = len(wanted)
        self.wrong = sum(cells.get(key) != values for key, values in wanted.items())
        claimed.abandon()

    def _write_at_once(self, writer: SegmentWriter) -> None:
        start = threading.Barrier(THREADS + 1)
        writers = [threading.Thread(target=_write, args=(writer, start, number)) for number in range(THREADS)]
        is_over = threading.Event()
        reader = threading.Thread(target=self._read, args=(start, is_over))
        for thread in (*writers, reader):
            thread.start()
        for thread in writers:
            thread.join()
        is_over.set()
        reader.join()

    def _read(self, start: threading.Barrier, is_over: threading.Event) -> None:
        start.wait()
        last: dict[Any, list[float]] = {}
        while not is_over.is_set():
            cells, _ = cells_of(self.directory, time.monotonic())
            gone = [-1.0]
            self.fell += sum(
                now < before for key in last for before, now in zip(last[key], cells.get(key, gone), strict=False)
            )
            last = cells
            self.readings += 1


def _write(writer: SegmentWriter, start: threading.Barrier, number: int) -> None:
    start.wait()
    for index in range(COUNTERS):
        for thread in (str(number), "shared"):
            cell = writer.counter(REQUESTS, "GET", f"/{thread}/{index}", "200")
            writer.words[cell] += 1.0
        if index < HISTOGRAMS:
            cell = writer.counter(POOL_USE, f"{number}/{index}")
            writer.words[cell] += 1.0


def _wanted() -> dict[tuple[str, ...], list[float]]:
    names = [str(number) for number in range(THREADS)]
    shared = {("web", "GET", f"/shared/{i}", "200"): [float(THREADS)] for i in range(COUNTERS)}
    own = {("web", "GET", f"/{name}/{i}", "200"): [1.0] for name in names for i in range(COUNTERS)}
    first = [1.0] + [0.0] * (POOL_USE.width - 1)
    uses = {("web", f"{name}/{i}"): first for name in names for i in range(HISTOGRAMS)}
    requests = {(REQUESTS.name, *labels): values for labels, values in (shared | own).items()}
    return requests | {(POOL_USE.name, *labels): values for labels, values in uses.items()}


if __name__ == "__main__":
    run(main)
