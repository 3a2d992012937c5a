"""Queues, made by RQ itself on a real Redis."""

from __future__ import annotations

import datetime
import logging
import time
from collections.abc import Iterator
from typing import Any

import pytest
import rq
import rq.worker_registration
from redis import Redis
from rq import Queue, SimpleWorker, suspension
from rq.job import Job
from rq.registry import (
    CanceledJobRegistry,
    DeferredJobRegistry,
    FailedJobRegistry,
    FinishedJobRegistry,
    ScheduledJobRegistry,
    StartedJobRegistry,
)
from rq.scheduler import RQScheduler

from tests.conftest import WaitFor
from tests.observer import rq_tasks
from tests.observer.contents import contents
from tests.promises.workers import environment, start
from tests.servers import Redis as RedisServer
from tests.servers import end_process
from ullage import metrics as m
from ullage.observer import queues
from ullage.observer.queues import Queues

READING = {"smembers", "llen", "zcard", "zcount", "lrange", "exists", "hget"}


def jobs(samples: Any, queue: str) -> dict[str, float]:
    """Return the number of jobs by state, without those that have none."""
    found = {state: cells[0] for (name, state), cells in samples[m.QUEUE_JOBS].items() if name == queue}
    assert set(found) == set(queues.STATES)
    return {state: count for state, count in found.items() if count}


def workers(samples: Any, queue: str) -> dict[str, float]:
    """Return the number of workers by state, without those that have none."""
    return {state: cells[0] for (name, state), cells in samples[m.QUEUE_WORKERS].items() if name == queue and cells[0]}


def at(seconds: float, redis: Redis, *names: str) -> Queues:
    """Return a reader for which it is so many seconds later."""
    return Queues(redis, names, clock=lambda: time.time() + seconds)


@pytest.fixture
def shop(redis: Redis) -> Queue:
    """Give a queue with jobs in every state but started."""
    queue = Queue("shop", connection=redis)
    first = queue.enqueue(rq_tasks.succeed)
    queue.enqueue(rq_tasks.fail)
    SimpleWorker([queue], connection=redis).work(burst=True, logging_level="ERROR")
    assert first.get_status() == "finished"
    queue.enqueue(rq_tasks.succeed).cancel()
    queue.enqueue_in(datetime.timedelta(hours=1), rq_tasks.succeed)
    waiting = [queue.enqueue(rq_tasks.succeed) for _ in range(3)]
    queue.enqueue(rq_tasks.succeed, depends_on=waiting[0])
    return queue


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Take the handlers away that an RQ worker leaves behind."""
    yield
    for name in ("rq", "rq.worker", "rq.job", "rq.scheduler"):
        logging.getLogger(name).handlers.clear()


class TestJobs:
    def test_states(self, redis: Redis, shop: Queue) -> None:
        """Jobs are counted by the state that RQ has them in."""
        expected = {"queued": 3, "finished": 1, "failed": 1, "canceled": 1, "scheduled": 1, "deferred": 1}
        assert jobs(Queues(redis).read(), "shop") == expected

    def test_running_job(self, redis: Redis) -> None:
        """While a job runs it is started, and its worker busy."""
        seen: list[Any] = []
        queue = Queue("shop", connection=redis)
        queue.enqueue(rq_tasks.succeed)
        rq_tasks.during.append(lambda: seen.append(Queues(redis).read()))
        try:
            SimpleWorker([queue], connection=redis).work(burst=True, logging_level="ERROR")
        finally:
            rq_tasks.during.clear()
        assert jobs(seen[0], "shop") == {"started": 1}
        assert workers(seen[0], "shop") == {"busy": 1}

    def test_expired_jobs(self, redis: Redis, shop: Queue) -> None:
        """A finished job whose time is over counts no more, although nobody has removed it yet."""
        later = at(501, redis).read()
        assert jobs(later, "shop")["failed"] == 1
        assert "finished" not in jobs(later, "shop")
        assert redis.zcard("rq:finished:shop") == 1

    def test_failed_jobs_for_ever(self, redis: Redis) -> None:
        """A failed job without a time limit, which RQ gives the score -1, counts."""
        queue = Queue("shop", connection=redis)
        queue.enqueue(rq_tasks.fail, failure_ttl=-1)
        SimpleWorker([queue], connection=redis).work(burst=True, logging_level="ERROR")
        assert redis.zrange("rq:failed:shop", 0, -1, withscores=True)[0][1] == -1
        assert jobs(Queues(redis).read(), "shop") == {"failed": 1}


class TestOldest:
    def test_age(self, redis: Redis) -> None:
        """The age is that of the job which waits longest, whatever was put in front of it."""
        queue = Queue("shop", connection=redis)
        oldest = queue.enqueue(rq_tasks.succeed)
        redis.hset(oldest.key, "enqueued_at", "2026-01-01T00:00:00.000000Z")
        queue.enqueue(rq_tasks.succeed, at_front=True)
        now = datetime.datetime(2026, 1, 1, 0, 1, 30, tzinfo=datetime.timezone.utc).timestamp()
        samples = Queues(redis, clock=lambda: now).read()
        assert samples[m.QUEUE_OLDEST] == {("shop",): [90.0]}

    def test_rq_writes_what_is_read(self, redis: Redis) -> None:
        """A job enqueued by RQ a moment ago is as old as RQ says."""
        job = Queue("shop", connection=redis).enqueue(rq_tasks.succeed)
        assert job.enqueued_at is not None
        enqueued_at = job.enqueued_at.replace(tzinfo=datetime.timezone.utc).timestamp()
        samples = Queues(redis, clock=lambda: enqueued_at + 7).read()
        assert samples[m.QUEUE_OLDEST][("shop",)] == [pytest.approx(7, abs=1e-3)]

    def test_without_a_fraction(self, redis: Redis) -> None:
        """A time without a fraction, from an older RQ, is read."""
        redis.sadd("rq:queues", "rq:queue:shop")
        redis.rpush("rq:queue:shop", "1")
        redis.hset("rq:job:1", "enqueued_at", "1970-01-01T00:01:00Z")
        assert Queues(redis, clock=lambda: 100.0).read()[m.QUEUE_OLDEST] == {("shop",): [40.0]}

    def test_empty_queue(self, redis: Redis) -> None:
        """An empty queue has age 0."""
        assert Queues(redis, ["shop"]).read()[m.QUEUE_OLDEST] == {("shop",): [0.0]}

    def test_clock_ahead(self, redis: Redis) -> None:
        """A job from a machine whose clock is ahead is not of negative age."""
        Queue("shop", connection=redis).enqueue(rq_tasks.succeed)
        assert at(-60, redis).read()[m.QUEUE_OLDEST] == {("shop",): [0.0]}

    def test_deleted_job(self, redis: Redis) -> None:
        """A deleted job at the head is passed over; when the whole head is deleted no age is made up."""
        queue = Queue("shop", connection=redis)
        for index in range(queues.HEADS):
            job = queue.enqueue(rq_tasks.succeed)
            if index < queues.HEADS - 1:
                redis.delete(job.key)
        assert Queues(redis).read()[m.QUEUE_OLDEST][("shop",)] == [pytest.approx(0, abs=60)]
        redis.delete(job.key)
        assert Queues(redis).read()[m.QUEUE_OLDEST] == {}


class TestWorkers:
    def test_of_several_queues(self, redis: Redis) -> None:
        """A worker counts for each queue that it listens to; one whose key expired for none."""
        listening = [Queue(name, connection=redis) for name in ("high", "low")]
        alive, dead = (SimpleWorker(listening, connection=redis) for _ in range(2))
        for worker in (alive, dead):
            worker.register_birth()
            worker.set_state("idle")
        redis.delete(dead.key)
        samples = Queues(redis, ["high", "low", "other"]).read()
        assert [workers(samples, name) for name in ("high", "low", "other")] == [{"idle": 1}, {"idle": 1}, {}]

    def test_suspended_worker_and_scheduler(self, redis: Redis, redis_server: RedisServer, wait_for: WaitFor) -> None:
        """A real worker is idle, then suspended; its scheduler is up for its queue alone."""
        arguments = ["-m", "rq.cli", "worker", "--url", redis_server.url, "--with-scheduler", "--quiet", "high"]
        reader = Queues(redis, ["high", "low"])
        up = {("high",): [1.0], ("low",): [0.0]}
        with start(arguments, environment(redis_server.directory)) as process:
            try:
                wait_for(lambda: workers(reader.read(), "high") == {"idle": 1}, 20, "an idle worker")
                wait_for(lambda: reader.read()[m.SCHEDULER_UP] == up, 20, "a scheduler")
                suspension.suspend(redis)
                # An idle worker asks whether it is suspended after its next job.
                Queue("high", connection=redis).enqueue(rq_tasks.succeed)
                wait_for(lambda: workers(reader.read(), "high") == {"suspended": 1}, 20, "a suspended worker")
                suspension.resume(redis)
            finally:
                end_process(process, 15, 20)


class TestNames:
    def test_keys_are_those_of_rq(self, redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
        """Every key that is read is named as the installed RQ names it."""
        queue = Queue("shop", connection=redis)
        job = queue.enqueue(rq_tasks.succeed)
        worker = SimpleWorker([queue], connection=redis)
        worker.register_birth()
        registries = (
            StartedJobRegistry,
            DeferredJobRegistry,
            ScheduledJobRegistry,
            FailedJobRegistry,
            FinishedJobRegistry,
            CanceledJobRegistry,
        )
        expected = {registry("shop", connection=redis).key for registry in registries}
        expected |= {Queue.redis_queues_keys, queue.key, Job.key_for(job.id), worker.key}
        expected |= {RQScheduler.get_locking_key("shop"), rq.worker_registration.WORKERS_BY_QUEUE_KEY % "shop"}
        reader = Queues(redis)
        read: set[bytes] = set()
        send = reader._send
        monkeypatch.setattr(
            reader, "_send", lambda commands: read.update(words[1] for words in commands) or send(commands)
        )
        reader.read()
        assert read == {key if isinstance(key, bytes) else key.encode() for key in expected}

    def test_prefix(self, redis: Redis) -> None:
        """RQ_KEY_PREFIX of RQ 3 is followed."""
        redis.sadd("{a}b:queues", "{a}b:queue:shop", "rq:queue:foreign")
        redis.rpush("{a}b:queue:shop", "1", "2")
        assert jobs(Queues(redis, prefix="{a}b").read(), "shop") == {"queued": 2}

    def test_given_names(self, redis: Redis, shop: Queue) -> None:
        """Queues that are named are measured from their first moment, and others are not."""
        assert set(Queues(redis, ["mail"]).read()[m.QUEUE_OLDEST]) == {("mail",)}

    def test_no_queue(self, redis: Redis) -> None:
        """An empty Redis gives no series and no error."""
        assert not any(Queues(redis).read().values())

    def test_no_text(self, redis: Redis) -> None:
        """A queue whose name is no UTF-8 is measured all the same."""
        redis.sadd("rq:queues", b"rq:queue:\xff")
        redis.rpush(b"rq:queue:\xff", "1")
        assert jobs(Queues(redis).read(), "\ufffd") == {"queued": 1}


class TestBounds:
    def test_labels(self, redis: Redis) -> None:
        """Beyond the first 200 queues by name, the rest is one series: `other`."""
        for index in range(queues.MOST_LABELS + 5):
            redis.sadd("rq:queues", f"rq:queue:q{index:04d}")
            redis.rpush(f"rq:queue:q{index:04d}", f"job-{index}")
            redis.hset(f"rq:job:job-{index}", "enqueued_at", f"1970-01-01T00:{index % 60:02d}:00Z")
        redis.sadd("rq:workers:q0201", "rq:worker:a")
        redis.sadd("rq:workers:q0202", "rq:worker:a")
        redis.hset("rq:worker:a", "state", "busy")
        samples = Queues(redis, clock=lambda: 3600.0).read()
        assert len(samples[m.QUEUE_OLDEST]) == queues.MOST_LABELS + 1
        assert jobs(samples, "other") == {"queued": 5}
        assert samples[m.QUEUE_OLDEST][("other",)] == [3600.0 - 20 * 60]
        assert workers(samples, "other") == {"busy": 1}
        assert samples[m.SCHEDULER_UP][("other",)] == [0.0]

    def test_queues(self, redis: Redis, caplog: pytest.LogCaptureFixture) -> None:
        """More queues than can be read in time are left out, which is logged once with what to do."""
        redis.sadd("rq:queues", *(f"rq:queue:q{index:04d}" for index in range(queues.MOST_QUEUES + 1)))
        reader = Queues(redis)
        reader.read()
        assert len(reader.read()[m.SCHEDULER_UP]) == queues.MOST_LABELS + 1
        assert [record.getMessage() for record in caplog.records] == [
            "1001 queues, and the first 1000 are measured; name those that matter in ULLAGE_QUEUES"
        ]


class TestNothingChanges:
    def test_keys(self, redis: Redis, shop: Queue) -> None:
        """Expired entries, dead workers and every other key are afterwards what they were."""
        SimpleWorker([shop], connection=redis).register_birth()
        redis.sadd("rq:workers:shop", "rq:worker:gone")
        before = contents(redis)
        at(10_000, redis).read()
        assert contents(redis) == before

    def test_commands(self, redis: Redis, shop: Queue) -> None:
        """Every command that Redis was sent only reads."""
        SimpleWorker([shop], connection=redis).register_birth()
        redis.config_resetstat()
        Queues(redis).read()
        sent = {name.removeprefix("cmdstat_") for name in redis.info("commandstats")}
        assert sent - {"config|resetstat", "info"} == READING
        flags = redis.command()
        assert all("readonly" in flags[name]["flags"] for name in READING)
