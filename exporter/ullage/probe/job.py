"""One RQ job as the probe sees it: its queue and function, how it ended, and the policy that its function bears."""

from __future__ import annotations

import json
import os
import pickletools
import sys
import time
from bisect import bisect_left
from threading import get_ident
from typing import TYPE_CHECKING, Any

from ullage.metrics import Metric
from ullage.policy import ATTRIBUTE
from ullage.probe.process import Process, Work
from ullage.segment import SegmentWriter

if TYPE_CHECKING:
    from ullage.probe.judge import Judge

UNKNOWN = "unknown"
# RQ's status of a job that is to run again.
_TO_RUN_AGAIN = frozenset({"queued", "scheduled", "deferred"})
_ENDED = frozenset({"finished", "failed", "stopped", "canceled"})


class JobWork(Work):
    """A job on its way."""

    __slots__ = ("began", "function", "is_retry", "judge", "pid", "queue")

    def __init__(self, process: Process, queue: str, function: str, job_id: str) -> None:
        super().__init__(float(process.writer.intern(f"{queue}\n{function}")), job_id)
        self.queue = queue
        self.function = function
        self.thread = get_ident()
        self.pid = os.getpid()
        self.sessions = {}
        self.began = time.monotonic()
        self.is_retry = False
        self.judge: Judge | None = None


def queue_of(queue: Any) -> str:
    """Return a queue's name."""
    return str(getattr(queue, "name", UNKNOWN))


def function_of(job: Any) -> str:
    """Return the name of a job's function, `unknown` when the payload cannot be decoded.

    Read from the payload without unpickling it, which would import the application: RQ's worker leaves that to the work
    horse, and there it is RQ that must meet what it raises.
    """
    try:
        return _first_string(job.data) or str(job.func_name)
    except Exception:  # noqa: BLE001 - whatever a serializer raises
        return UNKNOWN


def _first_string(payload: Any) -> str | None:
    """Return the first string of a payload that is a pickle or JSON; None of another kind.

    Raises:
        ValueError: it begins like a pickle or like JSON, and is neither.
    """
    if payload[:1] == b"\x80":
        return next((arg for opcode, arg, _ in pickletools.genops(payload) if "UNICODE" in opcode.name), None)
    if payload[:1] == b"[":
        return str(json.loads(payload)[0])
    return None


def decorated_policy(job: Any, function: str) -> str | None:
    """Return the policy that a job's function bears. A function that is not imported yet, is not imported for this."""
    module, _, name = function.rpartition(".")
    while module and module not in sys.modules:
        module, _, name = module.rpartition(".")
    if name and not module:
        return None
    try:
        found = getattr(job.func, ATTRIBUTE, None)
    except Exception:  # noqa: BLE001 - the function may be gone, or a part of the payload be unreadable
        return None
    return found if isinstance(found, str) else None


def outcome_of(job: Any, work: JobWork, returned: Any) -> str:
    """Return how a job ended: RQ's status of it, or `retried`. `returned` is what `perform_job` returned."""
    status = getattr(job, "_status", None)
    status = str(getattr(status, "value", status))
    if status in _ENDED:
        return status
    # A job that repeats itself has finished, and waits already for its next time.
    has_finished = returned is True and not work.is_retry
    if status in _TO_RUN_AGAIN and not has_finished:
        return "retried"
    # A job whose result RQ does not keep is still `started`.
    return "finished" if has_finished else "failed"


def observe(writer: SegmentWriter, metric: Metric, labels: tuple[str, ...], value: float) -> None:
    """Add a value to a histogram."""
    first = writer.counter(metric, *labels)
    bucket, total = first + bisect_left(metric.buckets, value), first + len(metric.buckets) + 1
    writer.words[bucket] += 1.0
    writer.words[total] += value
