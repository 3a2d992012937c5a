"""The observer's sources to metric families, read anew at each scrape."""

from __future__ import annotations

import logging
import platform
import threading
from collections.abc import Iterator, Mapping, Sequence

from prometheus_client.core import Metric as Family
from prometheus_client.registry import Collector as BaseCollector

import ullage
from ullage import metrics as m
from ullage.families import family
from ullage.observer.reading import Reading, Source
from ullage.tally import Samples

log = logging.getLogger(__name__)


class Observer(BaseCollector):
    """Serves several sources; one that fails costs its own series and nothing else."""

    def __init__(self, sources: Sequence[Source]) -> None:
        self._sources = sources
        self._errors: dict[str, str | None] = {}  # guarded by _lock
        self._lock = threading.Lock()

    def collect(self) -> Iterator[Family]:
        """Read every source and yield the metric families."""
        readings = self.readings()
        samples: dict[m.Metric, Samples] = {}
        for reading in readings.values():
            samples.update(reading.samples)
        for metric in m.OBSERVER_METRICS:
            if metric in samples:
                yield family(metric, samples[metric])
        yield from self._about_itself(readings)

    def readings(self) -> Mapping[str, Reading]:
        """Read every source; an error is logged when it is new."""
        readings: dict[str, Reading] = {}
        for source in self._sources:
            readings.update(source.readings())
        for name, reading in readings.items():
            self._log(name, reading.error)
        return readings

    def _log(self, name: str, error: str | None) -> None:
        with self._lock:
            before = self._errors.get(name)
            self._errors[name] = error
        if error and error != before:
            log.warning("%s could not be read: %s", name, error)
        elif before and not error:
            log.info("%s can be read again", name)

    def _about_itself(self, readings: Mapping[str, Reading]) -> Iterator[Family]:
        success: Samples = {(name,): [float(reading.error is None)] for name, reading in readings.items()}
        is_up = float(all(reading.error is None for reading in readings.values()))
        yield family(m.BUILD_INFO, {(ullage.__version__, platform.python_version()): [1.0]})
        yield family(m.UP, {(): [is_up]})
        yield family(m.COLLECTOR_DURATION, {(name,): [reading.seconds] for name, reading in readings.items()})
        yield family(m.COLLECTOR_SUCCESS, success)
