"""The RQ probe on a real Redis: workers in this process, and work horses that it forks."""

from __future__ import annotations

import json
import multiprocessing
import os
import pickle
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import rq.worker
from flask import Flask
from redis import Redis
from rq import Queue, Retry
from rq.command import send_stop_job_command
from rq.job import Callback, Job
from rq.worker import SimpleWorker, Worker
from sqlalchemy import create_engine
from sqlalchemy.pool import QueuePool

from tests.probe.conftest import Measured
from ullage.probe import rq as probe
from ullage.probe.process import Probe, current_work

# RQ 1.16 warns of its own use of these.
pytestmark = pytest.mark.filterwarnings(r"ignore:The .(push|pop)_connection. function is deprecated:DeprecationWarning")

HERE = "tests.probe.test_rq"
JOBS = "rq_jobs_total"
engine = create_engine("sqlite://", poolclass=QueuePool, pool_size=20, pool_logging_name="jobs")
held: list[Any] = []


@pytest.fixture
def queue(redis_server, measured) -> Iterator[Queue]:
    """Give an empty queue, and afterwards leave nothing checked out."""
    found = Queue(f"queue-{os.getpid()}", connection=Redis.from_url(redis_server.url))
    found.empty()
    yield found
    while held:
        held.pop().close()
    engine.dispose()
    found.connection.close()


def perform(queue: Queue, function: Any, *args: Any, kind: type = SimpleWorker, **options: Any) -> Job:
    """Perform one job and return it."""
    job = queue.enqueue(function, args=args, **options)
    work(queue, kind)
    return job


def work(queue: Queue, kind: type = SimpleWorker) -> None:
    """Perform what is in the queue."""
    kind([queue], connection=queue.connection).work(burst=True, logging_level="CRITICAL")


def value(measured: Measured, name: str, function: str, **labels: str) -> float | None:
    """Return the sample of one of this module's functions."""
    return measured.value(name, function=f"{HERE}.{function}", **labels)


def outcomes(measured: Measured) -> dict[str, float]:
    """Return the number of jobs by outcome."""
    return measured.by(JOBS, "outcome")


def leaks(measured: Measured) -> dict[str, float]:
    """Return the number of leaks by kind."""
    return measured.by("ullage_leaks_total", "kind")


def nothing() -> str:
    return "done"


def fail() -> None:
    raise ValueError("on purpose")


def ask_for_retry() -> Retry:
    return Retry(max=1)


def kill_itself() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def die_of_a_real_time_signal() -> None:
    os.kill(os.getpid(), signal.SIGRTMIN + 3)


def exit_at_once() -> None:
    os._exit(0)


def stop_itself(url: str, job_id: str) -> None:
    with Redis.from_url(url) as connection:
        send_stop_job_command(connection, job_id)
    signal.pause()


def fail_then_kill_itself(path: str) -> None:
    if not Path(path).exists():
        Path(path).touch()
        raise ValueError("the first time")
    os.kill(os.getpid(), signal.SIGKILL)


def check_out() -> None:
    held.append(engine.connect())


def fork_and_return() -> None:
    pid = os.fork()
    if pid:
        os.waitpid(pid, 0)


def check_out_in_child() -> None:
    child = multiprocessing.get_context("fork").Process(target=check_out)
    child.start()
    child.join()


def build_app() -> None:
    Flask("made in a job")


class TestJobs:
    """Counting jobs, their duration and their wait."""

    @pytest.mark.parametrize("kind", [SimpleWorker, Worker], ids=["simple", "forking"])
    @pytest.mark.parametrize(
        ("function", "options", "expected"),
        [
            (nothing, {}, {"finished": 1}),
            (nothing, {"result_ttl": 0}, {"finished": 1}),
            (fail, {}, {"failed": 1}),
            (fail, {"retry": Retry(max=2)}, {"retried": 2, "failed": 1}),
        ],
        ids=["finished", "without a result", "failed", "retried"],
    )
    def test_a_job_counts_once_by_its_outcome(self, queue, measured, kind, function, options, expected):
        """Each run of a job counts once, with RQ's status of it, where it ran and where a horse was forked for it."""
        perform(queue, function, kind=kind, **options)
        assert outcomes(measured) == expected
        assert measured.by("rq_job_duration_seconds_count", "outcome") == expected
        runs = sum(expected.values())
        assert measured.by("rq_job_wait_seconds_count", "function") == {f"{HERE}.{function.__name__}": runs}

    def test_a_job_that_returns_retry_is_retried(self, queue, measured):
        """RQ 2 lets a job ask for another run by what it returns."""
        job = perform(queue, ask_for_retry)
        if job.get_status() == "finished":
            pytest.skip("this RQ takes a returned Retry for a result")
        assert outcomes(measured) == {"retried": 1, "failed": 1}

    def test_a_job_that_repeats_itself_has_finished(self, queue, measured):
        """A job that waits already for its next time is no failure."""
        repeat = getattr(rq, "Repeat", None)
        if repeat is None:
            pytest.skip("this RQ has no Repeat")
        queue.enqueue(nothing, repeat=repeat(times=1, interval=3600))
        work(queue)
        assert outcomes(measured) == {"finished": 1}

    def test_the_wait_is_that_since_the_enqueueing(self, queue, measured):
        """A job that was enqueued an hour ago waited for an hour."""
        job = queue.enqueue(nothing)
        job.enqueued_at = job.enqueued_at.replace(year=job.enqueued_at.year - 1)
        job.save()
        work(queue)
        assert value(measured, "rq_job_wait_seconds_sum", "nothing", queue=queue.name) > 360 * 86_400

    def test_an_undecodable_payload_has_no_function(self, queue, measured):
        """A job that nobody can read counts under the function `unknown`."""
        job = queue.enqueue(nothing)
        queue.connection.hset(job.key, "data", b"no pickle")
        work(queue)
        assert measured.by(JOBS, "function") == {"unknown": 1}
        assert outcomes(measured) == {"failed": 1}

    def test_json_payloads_have_a_function_too(self, queue, measured):
        """The function's name is read from RQ's other serializer."""
        from rq.serializers import JSONSerializer

        queue = Queue(queue.name, connection=queue.connection, serializer=JSONSerializer)
        queue.enqueue(nothing)
        worker = SimpleWorker([queue], connection=queue.connection, serializer=JSONSerializer)
        worker.work(burst=True, logging_level="CRITICAL")
        assert measured.by(JOBS, "function") == {f"{HERE}.nothing": 1}

    def test_a_worker_does_not_unpickle_for_the_probe(self, queue, measured, tmp_path):
        """What a payload's unpickling does happens in the work horse, where RQ does it, and not in the worker."""
        perform(queue, _take, Noisy(str(tmp_path / "pids")), kind=Worker)
        assert outcomes(measured) == {"finished": 1}
        assert str(os.getpid()) not in (tmp_path / "pids").read_text().split()

    def test_functions_without_number_are_bounded(self, queue, measured):
        """What does not fit into the tables counts under `other`, and the total stays right."""
        count = 1_500
        rq_probe = measured.process.probes["rq"].rebind.__self__
        for n in range(count):
            job = Job.create(f"made.up_{n}", connection=queue.connection)
            rq_probe.end(rq_probe.begin(job, queue), job, True, True)
        by_function = measured.by(JOBS, "function")
        assert sum(by_function.values()) == count
        assert by_function["other"] > 0
        assert measured.value("ullage_dropped_series_total", table="series") > 0

    def test_a_second_install_changes_nothing(self, queue, measured):
        """A job counts once, however often the probe is installed."""
        assert probe.install(measured.process) is None
        perform(queue, nothing)
        assert outcomes(measured) == {"finished": 1}


class Noisy:
    """Writes down in which process it was unpickled."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[[str], str], tuple[str]]:
        return _note_process, (self.path,)


def _note_process(path: str) -> str:
    with Path(path).open("a") as file:
        file.write(f"{os.getpid()}\n")
    return path


def _take(_path: str) -> None:
    pass


class TestHorses:
    """What a worker knows of the work horses that end without a word."""

    @pytest.mark.parametrize(
        ("function", "outcome"), [(kill_itself, "killed"), (exit_at_once, "exited")], ids=["killed", "exited"]
    )
    def test_a_horse_that_could_not_count_is_counted_by_its_worker(self, queue, measured, function, outcome):
        """A job whose process was killed or left by os._exit counts once."""
        perform(queue, function, kind=Worker)
        assert outcomes(measured) == {outcome: 1}
        assert measured.by(JOBS, "function") == {f"{HERE}.{function.__name__}": 1}

    def test_a_horse_that_rq_gave_up_is_counted_once(self, queue, measured):
        """Where perform_job itself fails, the job counts by its work horse's end."""
        perform(queue, nothing, kind=RaisingPerform)
        assert outcomes(measured) == {"exited": 1}

    def test_a_stopped_job_is_stopped(self, queue, measured, redis_server):
        """A job that an operator stopped is told from one that was killed."""
        perform(queue, stop_itself, redis_server.url, "stopped", job_id="stopped", kind=Worker)
        assert outcomes(measured) == {"stopped": 1}

    def test_a_retry_that_is_killed_counts_too(self, queue, measured, tmp_path):
        """The second run of a job is not taken for the first, which was counted."""
        perform(queue, fail_then_kill_itself, str(tmp_path / "ran"), kind=Worker, retry=Retry(max=1))
        assert outcomes(measured) == {"retried": 1, "killed": 1}

    def test_deaths_are_counted_by_signal(self, queue, measured):
        """SIGKILL is what the kernel sends when memory is out; a real-time signal has a number for a name."""
        perform(queue, kill_itself, kind=Worker)
        perform(queue, die_of_a_real_time_signal, kind=Worker)
        perform(queue, nothing, kind=Worker)
        found = measured.by("rq_work_horse_deaths_total", "signal")
        assert found == {"SIGKILL": 1, str(signal.SIGRTMIN + 3): 1}

    def test_memory_and_processor_time_are_measured(self, queue, measured):
        """Peak memory and processor time of each horse are there, by function."""
        for _ in range(3):
            perform(queue, nothing, kind=Worker)
        assert value(measured, "rq_work_horse_max_rss_bytes_count", "nothing") == 3
        assert value(measured, "rq_work_horse_max_rss_bytes_sum", "nothing") > 3 * 2**24
        assert value(measured, "rq_work_horse_cpu_seconds_total", "nothing") > 0

    def test_a_job_without_a_horse_has_no_horse_metrics(self, queue, measured):
        """SimpleWorker forks nothing."""
        perform(queue, nothing)
        assert measured.by("rq_work_horse_max_rss_bytes_count", "function") == {}

    def test_a_child_that_runs_out_of_its_job_is_not_counted(self, queue, measured):
        """A job that forks, and whose child returns as well, is one job."""
        perform(queue, fork_and_return, kind=Worker)
        assert outcomes(measured) == {"finished": 1}

    def test_a_child_of_a_job_is_not_judged(self, queue, measured):
        """What a multiprocessing child has out is not the job's, but bears its function's name when it dies."""
        perform(queue, check_out_in_child, kind=Worker)
        assert leaks(measured) == {"died_with_process": 1}
        found = measured.by("sqlalchemy_unreleased_sessions_total", "function")
        assert found == {f"{HERE}.check_out_in_child": 1}


def close_held(*_: Any) -> None:
    while held:
        held.pop().close()


class CleaningPerform(Worker):
    """Cleans up in perform_job."""

    def perform_job(self, *args: Any, **kwargs: Any) -> bool:
        """Perform a job and clean up."""
        try:
            return super().perform_job(*args, **kwargs)
        finally:
            close_held()


class CleaningExecute(SimpleWorker):
    """Cleans up in execute_job."""

    def execute_job(self, *args: Any, **kwargs: Any) -> None:
        """Perform a job and clean up."""
        super().execute_job(*args, **kwargs)
        close_held()


class RaisingPerform(Worker):
    """Fails where RQ does not expect it."""

    def perform_job(self, *args: Any, **kwargs: Any) -> bool:
        """Perform a job and fail."""
        super().perform_job(*args, **kwargs)
        raise OSError("Redis is gone")


class TestJudging:
    """When a job is judged, and how it is failed."""

    @pytest.mark.parametrize("kind", [SimpleWorker, Worker], ids=["simple", "forking"])
    def test_a_leak_is_named(self, queue, measured, kind):
        """A connection that a job did not release bears the queue, the function and the line."""
        perform(queue, check_out, kind=kind)
        assert leaks(measured) == {"held_at_job_end": 1}
        name = "sqlalchemy_unreleased_sessions_total"
        assert measured.by(name, "queue") == {queue.name: 1}
        assert measured.by(name, "level") == {"leaked": 1}
        [site] = measured.by(name, "site")
        line = check_out.__code__.co_firstlineno + 1
        assert site == f"tests/probe/test_rq.py:{line} check_out"

    @pytest.mark.parametrize("kind", [CleaningPerform, CleaningExecute], ids=["perform_job", "execute_job"])
    def test_a_worker_that_cleans_up_leaks_nothing(self, queue, measured, kind):
        """Clean-up in a user's own perform_job or execute_job counts."""
        perform(queue, check_out, kind=kind)
        assert outcomes(measured) == {"finished": 1}
        assert leaks(measured) == {}

    def test_a_callback_that_cleans_up_counts(self, queue, measured):
        """Clean-up in a success callback counts."""
        perform(queue, check_out, on_success=Callback(close_held))
        assert leaks(measured) == {}

    def test_strict_fails_the_job(self, queue, measured):
        """Under strict a leaking job fails with function, line and fix, and its connection is closed."""
        measured.restart(policy="strict")
        job = perform(queue, check_out)
        assert outcomes(measured) == {"failed": 1}
        error = job.latest_result().exc_string
        line = check_out.__code__.co_firstlineno + 1
        assert f"{HERE}.check_out returned without releasing a connection" in error
        assert f"test_rq.py:{line} check_out; close the session there" in error
        assert engine.pool.checkedout() == 0

    def test_an_error_in_a_clean_up_turns_nothing_off(self, queue, measured):
        """A clean-up after a job that fails, as when the server is gone, is no failure of the probe."""

        def fail() -> None:
            raise OSError("the server is gone")

        measured.process.after_job.append(fail)
        try:
            perform(queue, check_out)
        finally:
            measured.process.after_job.remove(fail)
        assert leaks(measured) == {"held_at_job_end": 1}
        assert measured.value("ullage_probe_up", probe="rq") == 1

    def test_a_probe_that_fails_leaves_the_job_alone(self, queue, measured, caplog):
        """An error in the probe turns the probe off with one line, and the job ends as it would have."""
        found: Probe = measured.process.probes["rq"]
        rq_probe = found.rebind.__self__
        rq_probe.policies = None
        try:
            job = perform(queue, check_out)
            assert job.get_status() == "finished"
            assert measured.value("ullage_probe_up", probe="rq") == 0
        finally:
            found.failed = False
        assert len([record for record in caplog.records if "probe rq failed" in record.message]) == 1

    def test_no_work_is_left_behind(self, queue, measured):
        """After a job this process is at nothing, and a checkout is nobody's."""
        perform(queue, fail)
        assert current_work.get() is None
        check_out()
        assert leaks(measured) == {}

    def test_threads_of_a_job_are_their_own(self, queue, measured):
        """A thread that was started in a job may hold its connection after it."""
        perform(queue, check_out_in_thread)
        assert len(held) == 1
        assert leaks(measured) == {}


def check_out_in_thread() -> None:
    thread = threading.Thread(target=check_out)
    thread.start()
    thread.join()


class TestFlask:
    """Flask applications made in jobs."""

    def test_an_application_made_in_a_job_counts(self, queue, measured):
        """Each application is counted under the job's function; those made elsewhere are not."""
        build_app()
        perform(queue, build_app)
        perform(queue, build_app, kind=Worker)
        assert measured.by("flask_apps_built_in_jobs_total", "function") == {f"{HERE}.build_app": 2}


class TestFunctionNames:
    """Reading a function's name from a payload without unpickling it."""

    @pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
    def test_every_pickle_protocol_is_read(self, queue, protocol):
        """The name is the payload's first string."""
        from ullage.probe.job import function_of

        job = Job.create(nothing, connection=queue.connection)
        job.data = pickle.dumps((f"{HERE}.nothing", None, (), {}), protocol=protocol)
        assert function_of(job) == f"{HERE}.nothing"

    @pytest.mark.parametrize("payload", [b"", b"\x80", b"[", json.dumps([]).encode()], ids=repr)
    def test_what_is_neither_is_unknown(self, queue, payload):
        """A payload that is broken off has no name, and raises nothing."""
        from ullage.probe.job import function_of

        job = Job.create(nothing, connection=queue.connection)
        job.data = payload
        assert function_of(job) == "unknown"
