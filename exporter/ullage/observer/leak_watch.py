"""Asks every sidecar of the release for its leaks now and then, and has Events written; in the background."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

from ullage import metrics as m
from ullage.observer.cluster import ClusterError
from ullage.observer.events import EventLog
from ullage.observer.pods import Leak, Pod, SidecarError, read_leaks
from ullage.observer.reading import Reading
from ullage.tally import Samples

log = logging.getLogger(__name__)

AT_ONCE = 8


class Pods(Protocol):
    """What is needed of the Kubernetes API."""

    def pods(self, selector: str, port: int) -> Iterable[Pod]: ...


class LeakWatch:
    """One pass at an interval: list the pods, read their leaks, write Events."""

    def __init__(
        self,
        api: Pods,
        events: EventLog,
        selector: str,
        port: int,
        own_name: str = "",
        read: Callable[[str, int], list[Leak]] = read_leaks,
    ) -> None:
        """`own_name` is the observer's own pod, which the selector finds too."""
        self._api = api
        self._events = events
        self._selector = selector
        self._port = port
        self._own_name = own_name
        self._read = read
        # Replaced as a whole by each pass, and read by scrapes.
        self._last: Mapping[str, Reading] = {}
        self._is_stopping = threading.Event()

    def readings(self) -> Mapping[str, Reading]:
        """Return how the last pass went; nothing before the first is over."""
        return self._last

    def start(self, interval_seconds: float) -> None:
        """Make passes until stop() is called or the process ends."""
        threading.Thread(target=self._run, args=(interval_seconds,), daemon=True).start()

    def stop(self) -> None:
        """Make no more passes after the one that runs."""
        self._is_stopping.set()

    def make_pass(self) -> None:
        """Make one pass."""
        started = time.perf_counter()
        found: list[tuple[Pod, list[Leak]]] = []
        error = None
        try:
            found, error = self._read_all()
        except ClusterError as caught:
            error = str(caught)
        read = time.perf_counter()
        refusal = self._write_all(found)
        written: Samples = {(): [float(self._events.written)]}
        self._last = {
            "pods": Reading(read - started, error=error),
            "events": Reading(time.perf_counter() - read, {m.LEAK_EVENTS: written}, refusal),
        }

    def _run(self, interval_seconds: float) -> None:
        while not self._is_stopping.is_set():
            try:
                self.make_pass()
            except Exception as error:
                log.exception("a pass over the pods failed; the next is in %g s", interval_seconds)
                self._last = {**self._last, "pods": Reading(0.0, error=f"{type(error).__name__}: {error}")}
            self._is_stopping.wait(interval_seconds)

    def _read_all(self) -> tuple[list[tuple[Pod, list[Leak]]], str | None]:
        """Return the leaks by pod. One sidecar that does not answer is on its way up or down; all of them are news."""
        pods = [pod for pod in self._api.pods(self._selector, self._port) if pod.name != self._own_name]
        self._events.keep(pods)
        with ThreadPoolExecutor(AT_ONCE) as workers:
            answers = list(workers.map(self._read_one, pods))
        found = [(pod, leaks) for pod, leaks in zip(pods, answers, strict=True) if isinstance(leaks, list)]
        refusals = [answer for answer in answers if isinstance(answer, SidecarError)]
        for refusal in refusals:
            log.debug("a sidecar gave no leaks: %s", refusal)
        silent = f"none of {len(pods)} sidecars gave its leaks; one says: {refusals[0]}" if refusals else None
        return found, None if found else silent

    def _read_one(self, pod: Pod) -> list[Leak] | SidecarError:
        try:
            return self._read(pod.address, self._port)
        except SidecarError as error:
            return error

    def _write_all(self, found: Iterable[tuple[Pod, list[Leak]]]) -> str | None:
        try:
            for pod, leaks in found:
                self._events.record(pod, leaks)
        except ClusterError as error:
            return str(error)
        return None
