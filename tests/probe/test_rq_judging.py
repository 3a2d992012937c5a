"""The RQ probe at the end of a job: what is a leak, and how it fails the job."""

from __future__ import annotations

import threading

import pytest
from rq.job import Callback
from rq.worker import SimpleWorker, Worker

from tests.probe.rq_jobs import (
    HERE,
    CleaningExecute,
    CleaningPerform,
    check_out,
    close_held,
    engine,
    fail,
    held,
    leaks,
    outcomes,
    perform,
)
from ullage.probe.process import Probe, current_work

# RQ 1.16 warns of its own use of these.
pytestmark = pytest.mark.filterwarnings(r"ignore:The .(push|pop)_connection. function is deprecated:DeprecationWarning")


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
        assert site == f"tests/probe/rq_jobs.py:{line} check_out"

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
        assert f"rq_jobs.py:{line} check_out; close the session there" in error
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
