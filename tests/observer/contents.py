"""What is in a Redis, by value: DUMP gives a hash or a set in an order that reading it may change."""

from __future__ import annotations

from typing import Any

from redis import Redis

_READ = {
    b"string": ("GET",),
    b"hash": ("HGETALL",),
    b"list": ("LRANGE", 0, -1),
    b"set": ("SMEMBERS",),
    b"zset": ("ZRANGE", 0, -1, "WITHSCORES"),
    b"stream": ("XRANGE", "-", "+"),
}


def contents(client: Redis) -> dict[bytes, tuple[Any, bool]]:
    """Return every key with its value and whether it expires."""
    keys = list(client.scan_iter(count=1_000))
    with client.pipeline(transaction=False) as pipeline:
        for key in keys:
            pipeline.type(key).pttl(key)
        about = pipeline.execute()
        for key, kind in zip(keys, about[::2], strict=True):
            command, *arguments = _READ[kind]
            pipeline.execute_command(command, key, *arguments)
        values = pipeline.execute()
    return {key: (value, left >= 0) for key, value, left in zip(keys, values, about[1::2], strict=True)}
