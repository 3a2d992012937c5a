"""Redis as a source: there, gone, hanging, protected, and over TLS."""

from __future__ import annotations

import socket
import time
from pathlib import Path

import pytest
from redis import Redis
from rq import Queue

from tests.certificates import Authority
from tests.observer import rq_tasks
from tests.observer.round_trips import RoundTrips
from tests.servers import Redis as RedisServer
from ullage import metrics as m
from ullage.observer.redis_source import RedisSource, connect, describe


class ProtectedRedis(RedisServer):
    """A Redis that speaks TLS alone, and asks for a password."""

    def __init__(self, certificate: tuple[Path, Path], authority: Authority) -> None:
        super().__init__()
        self.options = ["--tls-cert-file", str(certificate[0]), "--tls-key-file", str(certificate[1])]
        self.options += ["--tls-ca-cert-file", str(authority.file), "--tls-auth-clients", "no"]

    def command(self) -> list[str]:
        plain = super().command()
        at = plain.index("--port")
        plain[at : at + 2] = ["--port", "0", "--tls-port", str(self.port)]
        return [*plain, *self.options, "--requirepass", "s3cret"]

    def is_ready(self) -> bool:
        with socket.socket() as client:
            return client.connect_ex(("127.0.0.1", self.port)) == 0


class TestReading:
    def test_round_trips(self, redis: Redis, redis_server: RedisServer) -> None:
        """A scrape takes three round trips, whatever there is to read; with named queues two."""
        for name in ("high", "low"):
            Queue(name, connection=redis).enqueue(rq_tasks.succeed)
        for names, expected in (((), 3), (("high", "low"), 2)):
            source = RedisSource(redis_server.url, names)
            trips = RoundTrips(source.client)
            source.readings()
            before = trips.count
            reading = source.readings()["queues"]
            assert reading.samples[m.QUEUE_JOBS]["high", "queued"] == [1.0]
            assert trips.count - before == expected

    def test_over_tls(self, authority: Authority) -> None:
        """rediss:// with a password and an own authority works."""
        with ProtectedRedis(authority.issue("redis"), authority) as server:
            url = f"rediss://:s3cret@127.0.0.1:{server.port}/0?ssl_ca_certs={authority.file}"
            reading = RedisSource(url, ["shop"]).readings()["queues"]
            assert (reading.error, len(reading.samples[m.QUEUE_JOBS])) == (None, 7)
            refused = RedisSource(url.replace("s3cret", "wr0ng"), ["shop"]).readings()["queues"]
            assert refused.error is not None
            assert refused.error.startswith("AuthenticationError: ")
            assert "wr0ng" not in refused.error

    def test_text_responses(self, redis: Redis, redis_server: RedisServer) -> None:
        """A URL that asks for text instead of bytes, as an application's may, changes nothing."""
        Queue("shop", connection=redis).enqueue(rq_tasks.succeed)
        reading = RedisSource(f"{redis_server.url}?decode_responses=true").readings()["queues"]
        assert reading.samples[m.QUEUE_JOBS]["shop", "queued"] == [1.0]


class TestTrouble:
    def test_redis_gone_and_back(self) -> None:
        """Without Redis there is an error and no series; when it is back there are series again."""
        with RedisServer() as server:
            source = RedisSource(server.url, ["shop"])
            assert source.readings()["queues"].error is None
            server.stop()
            gone = source.readings()["queues"]
            assert not gone.samples
            assert gone.error is not None
            assert "Connection refused" in gone.error
            server.start()
            assert source.readings()["queues"].error is None

    def test_hanging_redis(self) -> None:
        """A Redis that accepts and says nothing costs a scrape at most its time."""
        with socket.create_server(("127.0.0.1", 0)) as silent:
            source = RedisSource(f"redis://127.0.0.1:{silent.getsockname()[1]}/0", seconds=0.1)
            started = time.monotonic()
            reading = source.readings()["queues"]
            assert time.monotonic() - started < 1.0
        assert reading.error == "OverdueError: no answer within 0.1 s"
        assert reading.seconds == pytest.approx(0.1, abs=0.5)

    def test_foreign_key(self, redis: Redis, redis_server: RedisServer) -> None:
        """A key of another type where RQ has a list is an error that names the command."""
        redis.sadd("rq:queues", "rq:queue:shop")
        redis.set("rq:queue:shop", "mine")
        error = RedisSource(redis_server.url).readings()["queues"].error
        assert error is not None
        assert "rq:queue:shop" in error
        assert "WRONGTYPE" in error


class TestUrl:
    @pytest.mark.parametrize(
        ("url", "shown"),
        [
            ("redis://user:pass@redis:6379/0?socket_timeout=1", "redis://redis:6379/0"),
            ("rediss://:p%40ss@[::1]:6380", "rediss://[::1]:6380"),
            ("unix:///run/redis.sock?password=pass", "unix:///run/redis.sock"),
        ],
    )
    def test_description(self, url: str, shown: str) -> None:
        """Neither user, nor password, nor options are shown."""
        assert describe(url) == shown

    def test_lazy(self) -> None:
        """Making a client connects to nothing."""
        assert connect("redis://192.0.2.1:1/0").connection_pool.connection_kwargs["host"] == "192.0.2.1"
