"""The RQ probe on a real Redis: jobs, by what became of them."""

from __future__ import annotations

import json
import os
import pickle

import pytest
import rq.worker
from rq import Queue, Retry
from rq.job import Job
from rq.worker import SimpleWorker, Worker

from tests.probe.rq_jobs import (
    HERE,
    JOBS,
    Noisy,
    _take,
    ask_for_retry,
    build_app,
    fail,
    nothing,
    outcomes,
    perform,
    value,
    work,
)
from ullage.probe import rq as probe

# RQ 1.16 warns of its own use of these.
pytestmark = pytest.mark.filterwarnings(r"ignore:The .(push|pop)_connection. function is deprecated:DeprecationWarning")


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

    def test_a_traceback_is_the_applications_alone(self, queue, measured):
        """What RQ stores of a function that raised has no line of ours."""
        job = queue.enqueue(fail)
        work(queue)
        assert "in fail" in job.latest_result().exc_string
        assert "ullage/probe" not in job.latest_result().exc_string

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
