"""The Redis connection and the queue that web requests put jobs on."""

from __future__ import annotations

from redis import Redis
from rq import Queue

from app.config import Config, ConfigError

# A request must not hang when Redis does; an RQ worker, which waits minutes for a job, sets its own.
TIMEOUT_SECONDS = 5


def open_queue(config: Config) -> Queue:
    """Give the queue; nothing is sent to Redis yet."""
    try:
        connection = Redis.from_url(
            config.redis_url, socket_timeout=TIMEOUT_SECONDS, socket_connect_timeout=TIMEOUT_SECONDS
        )
    except ValueError:
        raise ConfigError("REDIS_URL is no Redis URL: want for example redis://:password@host:6379/0") from None
    return Queue(config.queue_name, connection=connection)
