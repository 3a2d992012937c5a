"""RQ's workers: jobs by outcome, work horses by their end, and what a job did not release.

`perform_job` is replaced on each worker *instance*, so that it runs outside a subclass's own: users clean up there, and
after `super().execute_job()`, and all of it counts. A work horse ends in `os._exit`: nothing here waits for an exit.
"""

from __future__ import annotations

import functools
import os
import signal
import time
from bisect import bisect_left
from collections.abc import Callable
from datetime import timezone
from threading import get_ident
from typing import Any

import rq.worker

from ullage import metrics as m
from ullage.policy import ATTRIBUTE, Policies
from ullage.probe import session
from ullage.probe.judge import Judge
from ullage.probe.process import Probe, Process, Work, current_work
from ullage.segment import Hint

NAME = "rq"
INSTALLED = "_ullage_installed"
UNKNOWN = "unknown"
# RQ's status of a job that is to run again.
_RETRIED = frozenset({"queued", "scheduled", "deferred"})


class JobWork(Work):
    """A job on its way."""

    __slots__ = ("began", "function", "judge", "queue")

    def __init__(self, process: Process, queue: str, function: str, job_id: str) -> None:
        super().__init__(float(process.writer.intern(f"{queue}\n{function}")), job_id)
        self.queue = queue
        self.function = function
        self.thread = get_ident()
        self.sessions = {}
        self.began = time.monotonic()
        self.judge: Judge | None = None


class RqProbe:
    """The probe: what happens at a job's start and end, and at a horse's."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self.probe = Probe(NAME, lambda: None, lambda: None)
        self.policies = Policies.parse(process.settings.policy, process.settings.policy_overrides)
        # The process that is inside execute_job: a job performed in it is judged at the end of that.
        self._executing = 0
        self._unjudged: JobWork | None = None
        self._job = ("", UNKNOWN, "")
        # The last job that a work horse has counted, in memory that it shares with its worker.
        self._counted = Hint()

    def instrument(self, worker: Any) -> None:
        """Replace the methods of one worker."""
        for name, wrap in (
            ("perform_job", self._wrap_perform),
            ("execute_job", self._wrap_execute),
            ("wait_for_horse", self._wrap_wait),
        ):
            original = getattr(worker, name, None)
            if original is not None:
                setattr(worker, name, functools.wraps(original)(wrap(original)))

    def _guard(self, call: Callable[..., Any], *args: Any) -> Any:
        if self.probe.failed:
            return None
        try:
            return call(*args)
        except BaseException as error:  # noqa: BLE001 - what is not the probe's is raised again
            self.process.swallow(NAME, error)
            return None

    def _wrap_perform(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def perform_job(job: Any, queue: Any, *args: Any, **kwargs: Any) -> Any:
            work = self._guard(self.begin, job, queue)
            if work is None:
                return original(job, queue, *args, **kwargs)
            token = current_work.set(work)
            try:
                return original(job, queue, *args, **kwargs)
            finally:
                self._guard(self.end, work, job)
                current_work.reset(token)

        return perform_job

    def _wrap_execute(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def execute_job(job: Any, queue: Any, *args: Any, **kwargs: Any) -> Any:
            self._executing, self._unjudged = os.getpid(), None
            self._job = (_name_of(queue), _function_of(job), str(getattr(job, "id", "")))
            try:
                return original(job, queue, *args, **kwargs)
            finally:
                self._executing = 0
                self._guard(self.judge_late)

        return execute_job

    def _wrap_wait(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def wait_for_horse(*args: Any, **kwargs: Any) -> Any:
            found = original(*args, **kwargs)
            self._guard(self.horse_ended, found)
            return found

        return wait_for_horse

    def begin(self, job: Any, queue: Any) -> JobWork:
        """Called before a job, in the process that performs it."""
        writer = self.process.writer
        work = JobWork(self.process, _name_of(queue), _function_of(job), str(getattr(job, "id", "")))
        enqueued = getattr(job, "enqueued_at", None)
        if enqueued is not None:
            aware = enqueued if enqueued.tzinfo else enqueued.replace(tzinfo=timezone.utc)
            waited = max(time.time() - aware.timestamp(), 0.0)
            self._observe(writer.counter(m.JOB_WAIT, work.queue, work.function), m.JOB_WAIT, waited)
        job.perform = self._wrap_function(job.perform, work, job)
        return work

    def _wrap_function(self, original: Callable[..., Any], work: JobWork, job: Any) -> Callable[..., Any]:
        @functools.wraps(original)
        def perform(*args: Any, **kwargs: Any) -> Any:
            found = original(*args, **kwargs)
            # Here RQ has not recorded a success yet: what `strict` raises fails the job.
            work.judge = self._guard(self._judge_of, work, job)
            if work.judge is not None and not self.probe.failed:
                work.judge.fail()
            return found

        return perform

    def _judge_of(self, work: JobWork, job: Any) -> Judge:
        return Judge(self.process, self.policies, work, _decorated(job))

    def end(self, work: JobWork, job: Any) -> None:
        """Called after a job, its callbacks and the worker's own clean-up in perform_job."""
        writer, words = self.process.writer, self.process.writer.words
        status = getattr(job, "_status", None)
        status = str(getattr(status, "value", status))
        labels = (work.queue, work.function, "retried" if status in _RETRIED else status)
        jobs, durations = writer.counter(m.JOBS, *labels), writer.counter(m.JOB_DURATION, *labels)
        self._counted.set(work.job_id)
        words[jobs] += 1.0
        self._observe(durations, m.JOB_DURATION, time.monotonic() - work.began)
        work.judge = work.judge or self._judge_of(work, job)
        if self._executing == os.getpid():
            self._unjudged = work
        else:
            self.judge(work)

    def judge_late(self) -> None:
        """Called after execute_job: judge the job that was performed in this process."""
        work, self._unjudged = self._unjudged, None
        if work is not None:
            self.judge(work)

    def judge(self, work: JobWork) -> None:
        """Called when nothing of the user's runs any more for this job."""
        for clean_up in self.process.after_job:
            clean_up()
        if work.judge is not None:
            work.judge.finish()

    def horse_ended(self, found: Any) -> None:
        """Called in the worker when its work horse has ended, with what `wait4` returned."""
        pid, status, usage = (*found, None, None, None)[:3]
        if not pid or status is None:
            return
        writer, words = self.process.writer, self.process.writer.words
        queue, function, job_id = self._job
        if usage is not None:
            cpu = writer.counter(m.HORSE_CPU, function)
            seconds = usage.ru_utime + usage.ru_stime
            words[cpu] += seconds
            self._observe(writer.counter(m.HORSE_RSS, function), m.HORSE_RSS, usage.ru_maxrss * 1024.0)
        if os.WIFSIGNALED(status):
            deaths = writer.counter(m.HORSE_DEATHS, function, signal.Signals(os.WTERMSIG(status)).name)
            words[deaths] += 1.0
        is_shared = self.process.last_child.get() == str(pid)
        if is_shared and self._counted.get() != self._counted.shortened(job_id):
            outcome = "killed" if os.WIFSIGNALED(status) else "exited"
            jobs = writer.counter(m.JOBS, queue, function, outcome)
            words[jobs] += 1.0

    def _observe(self, first: int, metric: m.Metric, value: float) -> None:
        words = self.process.writer.words
        bucket, total = first + bisect_left(metric.buckets, value), first + len(metric.buckets) + 1
        words[bucket] += 1.0
        words[total] += value


def install(process: Process) -> RqProbe | None:
    """Instrument every worker made from now on; None when that is done already."""
    kind = rq.worker.BaseWorker
    if INSTALLED in kind.__dict__:
        return None
    setattr(kind, INSTALLED, True)
    probe = RqProbe(process)
    process.add(probe.probe)
    session.install(process)
    original = kind.__init__

    @functools.wraps(original)
    def initialize(self: Any, *args: Any, **kwargs: Any) -> None:
        original(self, *args, **kwargs)
        probe._guard(probe.instrument, self)

    kind.__init__ = initialize  # type: ignore[method-assign]  # so that every subclass is seen
    return probe


def _name_of(queue: Any) -> str:
    return str(getattr(queue, "name", UNKNOWN))


def _function_of(job: Any) -> str:
    """Return a job's function as RQ names it; reading it can raise, when the payload cannot be decoded."""
    try:
        return str(job.func_name)
    except Exception:  # noqa: BLE001 - whatever a serializer raises
        return UNKNOWN


def _decorated(job: Any) -> str | None:
    """Return the policy that the job's function bears."""
    try:
        return getattr(job.func, ATTRIBUTE, None)
    except Exception:  # noqa: BLE001 - the function may be gone, or its import may fail
        return None
