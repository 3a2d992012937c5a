"""Kubernetes Events on leaking pods: one for each pod, function, line and kind, whose count rises.

An Event's name follows from what it is about, and it carries what was counted already. So an observer that was
restarted goes on where the former stopped, without a permission to read Events: a patch answers with the whole object.
"""

from __future__ import annotations

import datetime
import hashlib
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from ullage.observer.allowance import Allowance
from ullage.observer.pods import Leak, Pod

REASON = "SessionLeak"
COMPONENT = "ullage"
NEW_A_MINUTE = 20
PATCHES_A_MINUTE = 120
# The API server keeps an Event for an hour: a leak older than that is not reported anew by a restarted observer.
HORIZON_SECONDS = 3600.0
MOST_MESSAGE = 1024

COUNTED, COUNTED_UNTIL = "ullage/counted", "ullage/counted-until"

MEANINGS = {
    "over_threshold": "kept it for longer than the threshold",
    "reclaimed_by_gc": "dropped it, and only the garbage collector gave it back",
    "held_at_request_end": "still had it when the response was finished",
    "held_at_job_end": "still had it when the job had ended",
    "died_with_process": "had it when the process died",
}

Body = dict[str, Any]
_About = tuple[str, str, str]


class Events(Protocol):
    """What is needed of the Kubernetes API."""

    @property
    def namespace(self) -> str: ...
    def create_event(self, body: Body) -> bool: ...
    def patch_event(self, name: str, body: Body) -> Body | None: ...


@dataclass
class _Record:
    """What is known of one Event: leaks counted, the time of the last of them, and the count that it shows."""

    counted: int = 0
    until: float = 0.0
    shown: int = 0
    exists: bool = False


class EventLog:
    """Writes Events, a bounded number a minute; what is not written now is in the next pass. For one thread."""

    def __init__(
        self,
        api: Events,
        runbook_url: str | None = None,
        instance: str = "",
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`clock` is wall time, which is what leaks carry; `instance` names this observer."""
        self._api = api
        self._runbook = runbook_url or REASON
        self._instance = instance
        self._clock = clock
        self._new = Allowance(NEW_A_MINUTE, monotonic)
        self._patches = Allowance(PATCHES_A_MINUTE, monotonic)
        self._records: dict[str, dict[_About, _Record]] = {}
        self.written = 0

    def record(self, pod: Pod, leaks: Sequence[Leak]) -> None:
        """Write what is new among a pod's leaks; raise ClusterError when the API refuses."""
        grouped: dict[_About, list[Leak]] = {}
        for leak in leaks:
            grouped.setdefault((leak.function, leak.site, leak.kind), []).append(leak)
        for about, found in grouped.items():
            self._record(pod, about, found)

    def keep(self, pods: Iterable[Pod]) -> None:
        """Forget all pods but these."""
        uids = {pod.uid for pod in pods}
        self._records = {uid: records for uid, records in self._records.items() if uid in uids}

    def _record(self, pod: Pod, about: _About, leaks: Sequence[Leak]) -> None:
        now = self._clock()
        known = self._records.get(pod.uid, {}).get(about)
        until = known.until if known else now - HORIZON_SECONDS
        fresh = [leak.at for leak in leaks if leak.at is not None and leak.at > until]
        if known is None:
            if len(fresh) == 0 and all(leak.at is not None for leak in leaks):
                return
            known = self._find(pod, about, until)
            if known is None:
                return
            fresh = [at for at in fresh if at > known.until]
        # One of a dead process has no time yet. It gets one when the next process takes over, and is not counted twice.
        uncounted = sum(leak.at is None for leak in leaks)
        counted = known.counted + len(fresh)
        shown = max(known.shown, counted + uncounted)
        after = _Record(counted, max([known.until, *fresh]), shown, exists=True)
        if shown == known.shown:
            after.exists = known.exists
        elif not self._write(pod, about, known, after, fresh or [now]):
            return
        self._records.setdefault(pod.uid, {})[about] = after

    def _find(self, pod: Pod, about: _About, horizon: float) -> _Record | None:
        """Return what an earlier observer wrote, else an empty record; None when the allowance is used up."""
        if not self._patches.take():
            return None
        event = self._api.patch_event(_name(pod, about), {})
        if event is None:
            return _Record(until=horizon)
        notes = event.get("metadata", {}).get("annotations") or {}
        count = int(event.get("count") or 0)
        try:
            return _Record(int(notes[COUNTED]), max(horizon, float(notes[COUNTED_UNTIL])), count, exists=True)
        except (KeyError, ValueError):
            return _Record(count, horizon, count, exists=True)

    def _write(self, pod: Pod, about: _About, known: _Record, after: _Record, times: Sequence[float]) -> bool:
        """Patch the Event, or create it when it is not there (any more); say whether that was done."""
        body = self._changing(about, after, max(times))
        if known.exists:
            if not self._patches.take():
                return False
            known.exists = self._api.patch_event(_name(pod, about), body) is not None
        if not known.exists and not self._create(body | self._constant(pod, about, body, min(times))):
            return False
        self.written += 1
        return True

    def _create(self, body: Body) -> bool:
        return self._new.take() and self._api.create_event(body)

    def _changing(self, about: _About, after: _Record, last: float) -> Body:
        return {
            "metadata": {"annotations": {COUNTED: str(after.counted), COUNTED_UNTIL: repr(after.until)}},
            "message": self._message(about),
            "count": after.shown,
            "lastTimestamp": _time(last),
        }

    def _constant(self, pod: Pod, about: _About, body: Body, first: float) -> Body:
        namespace = self._api.namespace
        return {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": body["metadata"] | {"name": _name(pod, about), "namespace": namespace},
            "involvedObject": {
                "apiVersion": "v1",
                "kind": "Pod",
                "namespace": namespace,
                "name": pod.name,
                "uid": pod.uid,
            },
            "reason": REASON,
            "type": "Warning",
            "firstTimestamp": _time(first),
            "source": {"component": COMPONENT},
            "reportingComponent": COMPONENT,
            "reportingInstance": self._instance,
        }

    def _message(self, about: _About) -> str:
        function, site, kind = about
        text = (
            f"{function or 'code outside any job or request'} checked out a database connection at "
            f"{site or 'an unknown line'} and {MEANINGS[kind]} ({kind}). Runbook: {self._runbook}"
        )
        return text[:MOST_MESSAGE]


def _name(pod: Pod, about: _About) -> str:
    digest = hashlib.sha256("\0".join((pod.uid, *about)).encode()).hexdigest()
    return f"{pod.name[:200].rstrip('-.')}.{digest[:16]}"


def _time(at: float) -> str:
    return datetime.datetime.fromtimestamp(at, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
