"""RQ's queues as they are in Redis, read in three round trips by commands that change nothing.

RQ itself is not imported: its `count` and `get_job_ids` remove what has expired, which is the workers' to do, and ask
for each queue and registry anew. The names of its keys are the same from 1.16 to 3; a test compares.
"""

from __future__ import annotations

import datetime
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from ullage import metrics as m
from ullage.tally import Samples

if TYPE_CHECKING:
    from redis import Redis

log = logging.getLogger(__name__)

# Each queue is some fifteen series; those beyond the first are added up under one name.
MOST_LABELS = 200
OTHER = "other"
# And each is twelve commands.
MOST_QUEUES = 1_000
# The first in line was put there ahead of its turn, or was deleted since, more often than five in a row were.
HEADS = 5

_REGISTRIES = {
    "started": "wip",
    "deferred": "deferred",
    "scheduled": "scheduled",
    "failed": "failed",
    "finished": "finished",
    "canceled": "canceled",
}
# RQ removes these when their time has come and a worker gets to it; until then they are there and no longer count.
_EXPIRING = ("failed", "finished")
STATES = ("queued", *_REGISTRIES)
WORKER_STATES = ("idle", "busy", "suspended")


class _Pipeline(Protocol):
    """What is used of redis-py's, whose annotations mix it with the asynchronous one."""

    def execute_command(self, *words: Any) -> Any: ...
    def execute(self) -> list[Any]: ...


@dataclass
class _Queue:
    name: bytes
    jobs: dict[str, int] = field(default_factory=dict)
    heads: list[bytes] = field(default_factory=list)
    workers: frozenset[bytes] = frozenset()
    has_scheduler: bool = False
    oldest_seconds: float | None = 0.0


class Queues:
    """Reads the queues of one Redis; `names` are those to read, or none for all that there are."""

    def __init__(
        self,
        redis: Redis,
        names: Sequence[str] = (),
        prefix: str = "rq",
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`clock` is wall time, which is what RQ writes into its jobs."""
        self._redis = redis
        self._names = [name.encode() for name in names]
        self._prefix = prefix.encode() + b":"
        self._clock = clock
        self._has_warned = False

    def read(self) -> Mapping[m.Metric, Samples]:
        """Read all queues and return their samples; raise what redis-py raises."""
        now = self._clock()
        queues = [_Queue(name) for name in self._find_names()]
        self._read_queues(queues, now)
        states = self._read_jobs_and_workers(queues, now)
        return _samples(_labelled(queues), states)

    def _find_names(self) -> list[bytes]:
        names = self._names or self._read_names()
        if len(names) > MOST_QUEUES and not self._has_warned:
            self._has_warned = True
            log.warning(
                "%d queues, and the first %d are measured; name those that matter in ULLAGE_QUEUES",
                len(names),
                MOST_QUEUES,
            )
        return names[:MOST_QUEUES]

    def _read_names(self) -> list[bytes]:
        keys = self._send([(b"SMEMBERS", self._prefix + b"queues")])[0]
        queue = self._prefix + b"queue:"
        return sorted(key[len(queue) :] for key in keys if key.startswith(queue))

    def _read_queues(self, queues: list[_Queue], now: float) -> None:
        """Second round trip: how many jobs, which are first, which workers, and whether there is a scheduler."""
        answers = iter(self._send([command for queue in queues for command in self._commands(queue.name, now)]))
        for queue in queues:
            queue.jobs["queued"] = next(answers)
            for state in _REGISTRIES:
                queue.jobs[state] = next(answers)
            for state in _EXPIRING:
                queue.jobs[state] = max(0, queue.jobs[state] - next(answers))
            queue.heads = next(answers)
            queue.workers = frozenset(next(answers))
            queue.has_scheduler = bool(next(answers))

    def _commands(self, name: bytes, now: float) -> Iterator[tuple[Any, ...]]:
        prefix = self._prefix
        waiting = prefix + b"queue:" + name
        yield b"LLEN", waiting
        for key in _REGISTRIES.values():
            yield b"ZCARD", prefix + key.encode() + b":" + name
        for state in _EXPIRING:
            # From 0, as RQ does: a score of -1 never expires.
            yield b"ZCOUNT", prefix + _REGISTRIES[state].encode() + b":" + name, 0, int(now)
        yield b"LRANGE", waiting, 0, HEADS - 1
        yield b"SMEMBERS", prefix + b"workers:" + name
        yield b"EXISTS", prefix + b"scheduler-lock:" + name

    def _read_jobs_and_workers(self, queues: list[_Queue], now: float) -> dict[bytes, str]:
        """Third round trip: since when the first jobs wait, and what the workers do; return that by worker."""
        workers = sorted(set().union(*(queue.workers for queue in queues)))
        job = self._prefix + b"job:"
        commands = [(b"HGET", job + head, b"enqueued_at") for queue in queues for head in queue.heads]
        answers = iter(self._send(commands + [(b"HGET", worker, b"state") for worker in workers]))
        for queue in queues:
            times = [_parse_time(next(answers)) for _ in queue.heads]
            known = [at for at in times if at is not None]
            if queue.heads:
                queue.oldest_seconds = max(0.0, now - min(known)) if known else None
        # A worker that was killed stays in the set until another one cleans up, but its own key expires.
        return {worker: _worker_state(state) for worker, state in zip(workers, answers, strict=True) if state}

    def _send(self, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
        if not commands:
            return []
        pipeline: _Pipeline = self._redis.pipeline(transaction=False)
        for words in commands:
            pipeline.execute_command(*words)
        return pipeline.execute()


def _labelled(queues: Sequence[_Queue]) -> dict[str, list[_Queue]]:
    labelled: dict[str, list[_Queue]] = {}
    for index, queue in enumerate(queues):
        label = OTHER if index >= MOST_LABELS else queue.name.decode("utf-8", "replace")
        labelled.setdefault(label, []).append(queue)
    return labelled


def _samples(labelled: Mapping[str, Sequence[_Queue]], states: Mapping[bytes, str]) -> Mapping[m.Metric, Samples]:
    jobs: Samples = {}
    oldest: Samples = {}
    workers: Samples = {}
    schedulers: Samples = {}
    for label, queues in labelled.items():
        for state in STATES:
            jobs[label, state] = [float(sum(queue.jobs[state] for queue in queues))]
        ages = [queue.oldest_seconds for queue in queues if queue.oldest_seconds is not None]
        if ages:
            oldest[(label,)] = [max(ages)]
        found = [states[key] for key in frozenset().union(*(queue.workers for queue in queues)) if key in states]
        for state in WORKER_STATES:
            workers[label, state] = [float(found.count(state))]
        schedulers[(label,)] = [float(all(queue.has_scheduler for queue in queues))]
    return {m.QUEUE_JOBS: jobs, m.QUEUE_OLDEST: oldest, m.QUEUE_WORKERS: workers, m.SCHEDULER_UP: schedulers}


def _worker_state(state: bytes) -> str:
    """RQ has idle, busy, suspended; started and ? are on the way to idle."""
    return {b"busy": "busy", b"suspended": "suspended"}.get(state, "idle")


def _parse_time(text: bytes | None) -> float | None:
    """Read RQ's time in UTC, which older releases wrote without a fraction."""
    try:
        at = datetime.datetime.fromisoformat((text or b"").decode().removesuffix("Z"))
    except ValueError:
        return None
    return at.replace(tzinfo=datetime.timezone.utc).timestamp()
