"""The RQ probe in a worker that forks: what it knows of its work horses."""

from __future__ import annotations

import signal

import pytest
from rq import Retry
from rq.worker import Worker

from tests.probe.rq_jobs import (
    HERE,
    JOBS,
    RaisingPerform,
    check_out_in_child,
    die_of_a_real_time_signal,
    exit_at_once,
    fail_then_kill_itself,
    fork_and_return,
    kill_itself,
    leaks,
    nothing,
    outcomes,
    perform,
    stop_itself,
    value,
)

# RQ 1.16 warns of its own use of these.
pytestmark = pytest.mark.filterwarnings(r"ignore:The .(push|pop)_connection. function is deprecated:DeprecationWarning")


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
