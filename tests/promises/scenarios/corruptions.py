"""Damaged copies of a rich segment, read beside one that is intact."""

from __future__ import annotations

import os
import random
import re
import signal
import time
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import CollectorRegistry

from tests.promises.readings import Page
from tests.promises.scenarios import run
from tests.promises.scenarios.damage import damage
from tests.promises.scenarios.operations import ENGINE_NAME, IDENTITY, Adopt
from ullage.claim import claim
from ullage.collector import Collector
from ullage.leaks import OPEN
from ullage.metrics import FORWARDED_HOPS, LEAKS_TOTAL, POOL_CHECKOUTS, POOL_CONNECTIONS, POOL_WAIT, REQUESTS
from ullage.segment import Identity, SegmentWriter

# Damaged files in each reading, and how often what is read is also put into text, or claimed and written to.
FILES = 5
TEXT_EVERY, CLAIM_EVERY = 20, 4
MOST_SECONDS = 5
NAME = re.compile("[a-zA-Z_:][a-zA-Z0-9_:]*")
MOST_WRONG = 10


class _TimeUpError(Exception):
    """A reading took far longer than any could."""


def main(directory: str, corruptions: int, seed: int) -> dict[str, Any]:
    """Read so many damaged files, and say what went wrong and how long a reading took at most."""
    return _Fuzz(Path(directory), seed).run(corruptions // FILES)


class _Fuzz:
    def __init__(self, directory: Path, seed: int) -> None:
        self.source = random.Random(seed)
        self.template = _rich_segment(directory)
        self.directory = directory
        self.paths = [directory / f"damaged{number}.seg" for number in range(FILES)]
        self.collector = Collector(directory)
        self.intact = claim(directory, Identity("intact", "", 0), 60.0)
        self.truth = 0.0
        self.wrong: list[str] = []
        self.reasons: Counter[str] = Counter()
        signal.signal(signal.SIGALRM, _fire)

    def run(self, readings: int) -> dict[str, Any]:
        """Damage and read so often."""
        slowest, claims = 0.0, 0
        for number in range(readings):
            seed = self.source.getrandbits(32)
            self._damage(seed)
            self._count_once()
            started = time.perf_counter()
            self._attempt(f"reading of damage {seed}", self._read)
            slowest = max(slowest, time.perf_counter() - started)
            if number % TEXT_EVERY == 0:
                self._attempt(f"text of damage {seed}", self._write_text)
            if number % CLAIM_EVERY == 0:
                self._attempt(f"claim of damage {seed}", self._claim)
                claims += 1
        return {
            "corruptions": readings * FILES,
            "claims": claims,
            "wrong": self.wrong[:MOST_WRONG],
            "slowest_seconds": slowest,
            "reasons": dict(self.reasons),
        }

    def _attempt(self, what: str, step: Callable[[], None]) -> None:
        signal.alarm(MOST_SECONDS)
        try:
            step()
        except Exception as error:  # noqa: BLE001 - whatever it is, it is what is looked for
            place = traceback.extract_tb(error.__traceback__)[-1]
            self.wrong.append(f"{what}: {type(error).__name__}: {error} ({place.filename}:{place.lineno})")
        finally:
            signal.alarm(0)

    def _damage(self, seed: int) -> None:
        source = random.Random(seed)
        for path in self.paths:
            path.unlink(missing_ok=True)  # an adopted file may still be mapped: a new one takes its name
            path.write_bytes(damage(self.template, source))

    def _count_once(self) -> None:
        words, writer = self.intact.writer.words, self.intact.writer
        self.truth += 1.0
        for cell in (writer.counter(POOL_CHECKOUTS, ENGINE_NAME), writer.counter(POOL_WAIT, ENGINE_NAME)):
            words[cell] += 1.0

    def _read(self) -> None:
        page = Page.read(self.directory)
        for name in (POOL_CHECKOUTS.name, f"{POOL_WAIT.name}_count"):
            served = page.total(name, role="intact", engine=ENGINE_NAME)
            if served != self.truth:
                self.wrong.append(f"{name} of the intact segment is {served:g}, not {self.truth:g}")
        for name, labels in page.samples:
            if not all(map(NAME.fullmatch, (name, *(label for label, _ in labels)))):
                self.wrong.append(f"Prometheus would refuse the page for {name!r} with {dict(labels)}")
        self.reasons.update({key: int(n) for key, n in page.by("ullage_unreadable_segments", "reason").items()})
        self.collector.leaks()
        self.collector.overview()

    def _write_text(self) -> None:
        registry = CollectorRegistry(auto_describe=False)
        registry.register(self.collector)
        text = generate_latest(registry).decode()
        if not list(text_string_to_metric_families(text)):
            self.wrong.append("the page is empty")

    def _claim(self) -> None:
        """Adopt every damaged file that can be, and use it."""
        claimed = [claim(self.directory, IDENTITY, 60.0) for _ in range(FILES)]
        for each in claimed:
            _use(each.writer)
            slot = each.writer.take_slot()
            each.writer.words[slot] = OPEN
            each.leaks.count(slot, "held_at_job_end", "job-1")
        self._read()
        for each in claimed:
            each.abandon()
            if each.path not in self.paths:
                each.path.unlink()


def _rich_segment(directory: Path) -> bytes:
    """Return the bytes of a segment with every table in use."""
    Adopt().prepare(directory)
    (path,) = directory.iterdir()
    fd = os.open(path, os.O_RDWR)
    try:
        writer = SegmentWriter(fd)
    finally:
        os.close(fd)
    _use(writer)
    data = path.read_bytes()
    path.unlink()
    return data


def _use(writer: SegmentWriter) -> None:
    for metric, *labels in (
        (POOL_CHECKOUTS, ENGINE_NAME),
        (POOL_WAIT, ENGINE_NAME),
        (REQUESTS, "GET", "/orders/<int:number>", "200"),
        (FORWARDED_HOPS, "expected"),
        (LEAKS_TOTAL, "over_threshold"),
    ):
        cell = writer.counter(metric, *labels)
        writer.words[cell] += 1.0
    for state in ("idle", "used"):
        writer.words[writer.gauge(POOL_CONNECTIONS, ENGINE_NAME, state)] = 2.0


def _fire(*_: object) -> None:
    raise _TimeUpError(f"more than {MOST_SECONDS} s")


if __name__ == "__main__":
    run(main)
