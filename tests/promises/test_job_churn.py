from __future__ import annotations

import statistics
import time
from pathlib import Path

import pytest
from rq import Queue

from tests.promises.churn import query
from tests.promises.readings import Page
from tests.promises.workers import environment, new_queue, start
from ullage.collector import Collector

pytestmark = [pytest.mark.promise, pytest.mark.timeout(7200)]

WORKERS = 2
FIRST = 100
BATCH = 1_000


def perform(queue: Queue, url: str, segments: Path, jobs: int) -> None:
    """Enqueue jobs and have forking workers perform them, two at a time."""
    for first in range(0, jobs, BATCH):
        data = [Queue.prepare_data(query, result_ttl=0) for _ in range(min(BATCH, jobs - first))]
        queue.enqueue_many(data)
    arguments = ["-m", "ullage", "worker", "--burst", "--quiet", "--url", url]
    arguments += ["--preload", "tests.promises.churn", queue.name]
    running = [start(arguments, environment(segments)) for _ in range(WORKERS)]
    for process in running:
        output, _ = process.communicate()
        assert process.returncode == 0, output[-4000:]


def state_of(segments: Path) -> tuple[int, int, float]:
    """Return the number of files, their bytes, and the median seconds of a scrape."""
    seconds = []
    for _ in range(21):
        started = time.process_time()
        list(Collector(segments).collect())
        seconds.append(time.process_time() - started)
    files = list(segments.iterdir())
    return len(files), sum(path.stat().st_size for path in files), statistics.median(seconds)


def test_jobs_without_number_leave_files_sizes_and_scrapes_as_they_were(segments, redis_server, size):
    """A hundred thousand jobs in work horses leave what a hundred leave, and each is counted once."""
    jobs = size(100_000, 400)
    queue = new_queue(redis_server.url, "churn")
    perform(queue, redis_server.url, segments, FIRST)
    files, total_bytes, seconds = state_of(segments)
    started = time.monotonic()
    perform(queue, redis_server.url, segments, jobs - FIRST)
    elapsed = time.monotonic() - started
    late_files, late_bytes, late_seconds = state_of(segments)
    page = Page.read(segments)
    counted = page.by("rq_jobs_total", "outcome")
    print(
        f"\npromise churn: {jobs:,} jobs, counted {counted}, "
        f"{page.total('sqlalchemy_pool_checkouts_total'):,.0f} checkouts; "
        f"{files} files of {total_bytes:,} bytes then, {late_files} of {late_bytes:,} now; "
        f"scrape {seconds * 1e3:.2f} ms then, {late_seconds * 1e3:.2f} ms now; "
        f"{elapsed / (jobs - FIRST) * 1e3:.1f} ms a job with {WORKERS} workers"
    )
    assert counted == {"finished": jobs}
    assert page.total("sqlalchemy_pool_checkouts_total") == jobs
    assert page.total("rq_job_duration_seconds_count") == jobs
    assert late_files <= files == 2 * WORKERS
    assert late_bytes <= total_bytes
    assert late_seconds <= 3 * seconds
