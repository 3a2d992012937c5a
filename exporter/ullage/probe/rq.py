"""RQ's workers: jobs by outcome, work horses by their end, and what a job did not release.

`perform_job` is replaced on each worker *instance*, so that it runs outside a subclass's own: users clean up there, and
after `super().execute_job()`, and all of it counts. A work horse ends in `os._exit`: nothing here waits for an exit.
"""

from __future__ import annotations

import functools
import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import timezone
from itertools import repeat, starmap
from typing import Any

from rq.job import Job
from rq.worker import BaseWorker

from ullage import metrics as m
from ullage.policy import Policies
from ullage.probe.job import UNKNOWN, JobWork, decorated_policy, function_of, observe, outcome_of, queue_of
from ullage.probe.judge import Judge, reraise_asynchronous
from ullage.probe.process import Probe, Process, Work, current_work
from ullage.segment import Hint

NAME = "rq"
INSTALLED = "_ullage_installed"


class RqProbe:
    """The probe: what happens at a job's start and end, and at a horse's."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self.probe = Probe(NAME, self.rebind, lambda: None)
        # The process that is inside execute_job: a job performed in it is judged at the end of that.
        self._executing = 0
        self._unjudged: JobWork | None = None
        self._job = ("", UNKNOWN, "")
        # In memory that a worker shares with its work horses: the last horse that runs this probe, and the last job
        # that one has counted.
        self._horse = Hint()
        self._counted = Hint()

    def rebind(self) -> None:
        """Called at install and in every forked child: one of a job's bears its name, and is not judged with it."""
        settings = self.process.settings
        self.policies = Policies.parse(settings.policy, settings.policy_overrides)
        self._unjudged = None
        work = current_work.get()
        if isinstance(work, JobWork):
            label_id = float(self.process.writer.intern(f"{work.queue}\n{work.function}"))
            current_work.set(Work(label_id, work.job_id))

    def instrument(self, worker: Any) -> None:
        """Replace the methods of one worker."""
        for name, wrap in (
            ("perform_job", self._wrap_perform),
            ("execute_job", self._wrap_execute),
            ("wait_for_horse", functools.partial(self._wrap_wait, worker)),
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
            ended = False
            found = None
            try:
                found = original(job, queue, *args, **kwargs)
                ended = True
                return found
            finally:
                try:
                    self._guard(self.end, work, job, found, ended)
                finally:
                    current_work.reset(token)

        return perform_job

    def _wrap_execute(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def execute_job(job: Any, queue: Any, *args: Any, **kwargs: Any) -> Any:
            self._guard(self.execute, job, queue)
            try:
                return original(job, queue, *args, **kwargs)
            finally:
                self._executing = 0
                self._guard(self.judge_late)

        return execute_job

    def _wrap_wait(self, worker: Any, original: Callable[..., Any]) -> Callable[..., Any]:
        def wait_for_horse(*args: Any, **kwargs: Any) -> Any:
            found = original(*args, **kwargs)
            self._guard(self.horse_ended, worker, found)
            return found

        return wait_for_horse

    def execute(self, job: Any, queue: Any) -> None:
        """Called in the worker, before it performs a job or has it performed."""
        self._executing, self._unjudged = os.getpid(), None
        self._counted.set("")  # a job that is retried comes under its id again
        self._job = (queue_of(queue), function_of(job), str(getattr(job, "id", "")))

    def begin(self, job: Any, queue: Any) -> JobWork:
        """Called before a job, in the process that performs it."""
        writer = self.process.writer
        work = JobWork(self.process, queue_of(queue), function_of(job), str(getattr(job, "id", "")))
        if self._executing == os.getppid():  # not at the fork: a spawned horse is forked too, and shares no memory
            self._horse.set(str(work.pid))
        enqueued = getattr(job, "enqueued_at", None)
        if enqueued is not None:
            aware = enqueued if enqueued.tzinfo else enqueued.replace(tzinfo=timezone.utc)
            waited = max(time.time() - aware.timestamp(), 0.0)
            observe(writer, m.JOB_WAIT, (work.queue, work.function), waited)
        job.perform = self._wrap_function(job.perform, work, job)
        return work

    def _wrap_function(self, original: Callable[..., Any], work: JobWork, job: Any) -> Callable[..., Any]:
        def finish(found: Any) -> Any:
            # Here RQ has not recorded a success yet: what is raised under `strict` fails the job.
            error = self._guard(self.returned, work, job, found)
            if error is not None:
                raise error
            return found

        # By the module, which is still RQ's own when somebody else, such as ddtrace, wraps it too.
        if getattr(original, "__module__", None) == Job.__module__:
            # Written in C, so that no frame of ours is in the traceback that RQ stores for a function that raises. It
            # may be called again, but takes no arguments, which a perform of the user's may.
            return map(finish, starmap(original, repeat(()))).__next__

        @functools.wraps(original)
        def perform(*args: Any, **kwargs: Any) -> Any:
            return finish(original(*args, **kwargs))

        return perform

    def returned(self, work: JobWork, job: Any, found: Any) -> Exception | None:
        """Called when a job's function has returned; return what is to be raised."""
        work.is_retry = type(found).__name__ == "Retry"
        work.judge = self._judge_of(work, job)
        if work.judge.offence() is not None:
            self._clean_up()  # only now: callbacks may still want the session
        return work.judge.verdict()

    def _judge_of(self, work: JobWork, job: Any) -> Judge:
        return Judge(self.process, self.policies, work, decorated_policy(job, work.function))

    def end(self, work: JobWork, job: Any, returned: Any, has_ended: bool) -> None:
        """Called after a job, its callbacks and the worker's own clean-up in perform_job."""
        if work.pid != os.getpid():
            return  # in a child that the job forked, and let run out of the job's function
        vars(job).pop("perform", None)
        is_own = self._executing == work.pid
        if has_ended or is_own:  # else RQ exits with status 1, and the worker counts
            self._count(work, outcome_of(job, work, returned))
        work.judge = work.judge or self._judge_of(work, job)
        if is_own:
            self._unjudged = work
        else:
            self.judge(work)

    def _count(self, work: JobWork, outcome: str) -> None:
        writer, words = self.process.writer, self.process.writer.words
        labels = (work.queue, work.function, outcome)
        jobs = writer.counter(m.JOBS, *labels)
        self._counted.set(work.job_id)
        words[jobs] += 1.0
        observe(writer, m.JOB_DURATION, labels, time.monotonic() - work.began)

    def judge_late(self) -> None:
        """Called after execute_job: judge the job that was performed in this process."""
        work, self._unjudged = self._unjudged, None
        if work is not None:
            self.judge(work)

    def _clean_up(self) -> None:
        """Release what the application registered, before anything is judged."""
        for clean_up in self.process.after_job:
            try:
                clean_up()
            except Exception as error:  # noqa: BLE001 - the server may be gone: no fault of the probe
                reraise_asynchronous(error)

    def judge(self, work: JobWork) -> None:
        """Called when nothing of the user's runs any more for this job."""
        self._clean_up()
        if work.judge is not None:
            work.judge.finish()

    def horse_ended(self, worker: Any, found: Any) -> None:
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
            observe(writer, m.HORSE_RSS, (function,), usage.ru_maxrss * 1024.0)
        if os.WIFSIGNALED(status):
            deaths = writer.counter(m.HORSE_DEATHS, function, _name_of_signal(os.WTERMSIG(status)))
            words[deaths] += 1.0
        if not self._has_counted(pid, status, job_id):
            outcome = "killed" if os.WIFSIGNALED(status) else "exited"
            if getattr(worker, "_stopped_job_id", None) == job_id:
                outcome = "stopped"
            jobs = writer.counter(m.JOBS, queue, function, outcome)
            words[jobs] += 1.0

    def _has_counted(self, pid: int, status: int, job_id: str) -> bool:
        """Say whether a horse counted its job itself; one that was spawned, and shares no memory, if RQ ended it."""
        if self._horse.get() == str(pid):
            return self._counted.get() == self._counted.shortened(job_id)
        return status == os.EX_OK


def install(process: Process) -> RqProbe | None:
    """Instrument every worker made from now on; None when that is done already."""
    if INSTALLED in BaseWorker.__dict__:
        return None
    setattr(BaseWorker, INSTALLED, True)
    probe = RqProbe(process)
    process.add(probe.probe)
    original = BaseWorker.__init__

    @functools.wraps(original)
    def initialize(self: Any, *args: Any, **kwargs: Any) -> None:
        original(self, *args, **kwargs)
        probe._guard(probe.instrument, self)

    BaseWorker.__init__ = initialize  # type: ignore[method-assign]  # so that every subclass is seen
    return probe


def _name_of_signal(number: int) -> str:
    with suppress(ValueError):  # a real-time signal has a number alone
        return signal.Signals(number).name
    return str(number)
