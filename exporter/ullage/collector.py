"""Segments to metric families, built afresh at each scrape; nothing is kept between scrapes."""

from __future__ import annotations

import math
import os
import platform
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from prometheus_client.core import Metric as Family
from prometheus_client.registry import Collector as BaseCollector

import ullage
from ullage import metrics as m
from ullage.claim import SUFFIX, UNBORN_SUFFIX
from ullage.families import family
from ullage.leaks import journal
from ullage.outstanding import last_leaks, outstanding, uncounted_leak
from ullage.segment import Snapshot, UnreadableSegmentError, read_segment
from ullage.tally import Samples, Tally


@dataclass(frozen=True)
class Overview:
    """What the landing page shows."""

    segments_live: int
    segments_free: int
    unreadable: dict[str, int]
    probes: dict[str, dict[str, int]]


class Reading:
    """One pass over the directory: yields its segments, and notes what could not be read, by reason."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.unreadable: dict[str, int] = {}
        self.is_directory_readable = True

    def __iter__(self) -> Iterator[Snapshot]:
        try:
            names = os.listdir(self._directory)  # noqa: PTH208  # names alone, without a Path object each
        except OSError:
            self.is_directory_readable = False
            return
        for name in names:
            if name.endswith(SUFFIX):
                snapshot = self._read(f"{self._directory}/{name}")
                if snapshot is not None:
                    yield snapshot
            elif not name.endswith(UNBORN_SUFFIX):
                self._fail("foreign")

    def _read(self, path: str) -> Snapshot | None:
        try:
            # Non-blocking: somebody's fifo must not hold the scrape.
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        except FileNotFoundError:
            return None  # removed since the listing
        except OSError:
            self._fail("no_access")
            return None
        try:
            snapshot = read_segment(fd)
            journal(snapshot.header)  # a damaged one fails its file here, and not the whole page later
            return snapshot
        except UnreadableSegmentError as error:
            self._fail(error.reason)
        except OSError:
            self._fail("no_access")
        finally:
            os.close(fd)
        return None

    def _fail(self, reason: str) -> None:
        self.unreadable[reason] = self.unreadable.get(reason, 0) + 1


class Collector(BaseCollector):
    """Serve the segments of a directory; register it with a prometheus_client registry."""

    def __init__(self, directory: Path, *, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` is the monotonic clock that the probes use: that of this machine."""
        self._directory = directory
        self._clock = clock

    def collect(self) -> Iterator[Family]:
        """Read every segment and yield the metric families; a bad file never fails it."""
        started = time.perf_counter()
        reading = Reading(self._directory)
        tally = Tally(reading, self._clock())
        tally.complete()
        # A probe of another release may write a known name with other labels: this exporter's own win.
        names = {metric.name: metric for metric in sorted(tally.samples, key=lambda metric: metric in m.ALL)}
        ordered = [name for name in m.BY_NAME if name in names] + sorted(set(names) - set(m.BY_NAME))
        for name in ordered:
            yield family(names[name], tally.samples[names[name]])
        yield from self._about_itself(reading, time.perf_counter() - started)

    def _about_itself(self, reading: Reading, seconds: float) -> Iterator[Family]:
        unreadable: Samples = {(reason,): [float(count)] for reason, count in sorted(reading.unreadable.items())}
        is_up = [float(reading.is_directory_readable)]
        yield family(m.UNREADABLE, unreadable)
        yield family(m.BUILD_INFO, {(ullage.__version__, platform.python_version()): [1.0]})
        yield family(m.UP, {(): is_up})
        yield family(m.COLLECTOR_DURATION, {("segments",): [seconds]})
        yield family(m.COLLECTOR_SUCCESS, {("segments",): is_up})

    def leaks(self) -> list[dict[str, object]]:
        """Return the last leaks, newest first, those of dead processes that nobody counted yet at the head."""
        now = self._clock()
        found: list[dict[str, object]] = []
        for snapshot in Reading(self._directory):
            found += last_leaks(snapshot)
            found += [uncounted_leak(snapshot, slot) for slot in outstanding(snapshot, now) if slot.uncounted]
        return sorted(found, key=_newest_first)

    def overview(self) -> Overview:
        """Return what the landing page shows."""
        reading = Reading(self._directory)
        tally = Tally(reading, self._clock())
        segments = dict.fromkeys(("live", "free"), 0)
        for (_, state), (count,) in tally.samples.get(m.SEGMENTS, {}).items():
            segments[state] += int(count)
        probes: dict[str, dict[str, int]] = {}
        for (role, probe), (up,) in tally.samples.get(m.PROBE_UP, {}).items():
            probes.setdefault(role, {})[probe] = int(up)
        return Overview(segments["live"], segments["free"], reading.unreadable, probes)


def _newest_first(leak: dict[str, object]) -> float:
    counted_at = leak["time"]
    return -counted_at if isinstance(counted_at, float) else -math.inf
