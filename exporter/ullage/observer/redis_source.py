"""The queues as a source of the observer: one Redis, asked in a bounded time."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from urllib.parse import urlsplit

from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from ullage.metrics import Metric
from ullage.observer.deadline import Deadline
from ullage.observer.queues import Queues
from ullage.observer.reading import Reading
from ullage.tally import Samples

READ_SECONDS = 2.0
# Of one socket operation: a thread that nobody waits for any more ends by it.
SOCKET_SECONDS = 1.5


class RedisSource:
    """Reads the queues at each scrape; a Redis that is gone or hangs costs its queues and nothing else."""

    def __init__(self, url: str, names: Sequence[str] = (), prefix: str = "rq", seconds: float = READ_SECONDS) -> None:
        self.client = connect(url)
        read = Queues(self.client, names, prefix).read
        self._deadline: Deadline[Mapping[Metric, Samples]] = Deadline(read, seconds)

    def readings(self) -> Mapping[str, Reading]:
        """Read the queues."""
        return {"queues": self._timed(self._deadline.result)}

    def _timed(self, read: Callable[[], Mapping[Metric, Samples]]) -> Reading:
        started = time.perf_counter()
        samples: Mapping[Metric, Samples] = {}
        error = None
        try:
            samples = read()
        except Exception as caught:  # noqa: BLE001 - whatever Redis provokes, the rest of the page is served
            error = f"{type(caught).__name__}: {caught}"
        return Reading(time.perf_counter() - started, samples, error)


def connect(url: str) -> Redis:
    """Return a client that has not connected yet; raise ValueError or TypeError when redis-py cannot use the URL."""
    client: Redis = Redis.from_url(
        url,
        socket_timeout=SOCKET_SECONDS,
        socket_connect_timeout=SOCKET_SECONDS,
        # The next scrape is the next attempt. A connection that the server closed meanwhile is opened anew even so.
        retry=Retry(NoBackoff(), 0),
        client_name="ullage-observer",
    )
    # A URL may ask for text, and queue names need not be any.
    pool = client.connection_pool
    pool.connection_kwargs["decode_responses"] = False
    # Without connecting: else it is the first scrape that finds an option which does not exist.
    pool.connection_class(**pool.connection_kwargs)
    return client


def describe(url: str) -> str:
    """Return a Redis URL without user, password and options."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
