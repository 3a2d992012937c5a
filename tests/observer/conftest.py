"""Fixtures of the observer's tests: an empty Redis, and a Kubernetes API that speaks TLS."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis

from tests.certificates import Authority
from tests.observer.api_server import ApiServer
from tests.servers import Redis as RedisServer


@pytest.fixture
def redis(redis_server: RedisServer) -> Iterator[Redis]:
    """Give a client of an empty Redis."""
    with Redis.from_url(redis_server.url) as client:
        client.flushall()
        yield client
        client.flushall()


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Give a certificate authority."""
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def api(authority: Authority) -> Iterator[ApiServer]:
    """Give a Kubernetes API server without pods or Events."""
    with ApiServer(authority) as server:
        yield server


@pytest.fixture
def service_account(tmp_path: Path, authority: Authority) -> Path:
    """Give a directory as a kubelet mounts it."""
    (tmp_path / "token").write_text("first")
    (tmp_path / "namespace").write_text("shop")
    (tmp_path / "ca.crt").write_bytes(authority.file.read_bytes())
    return tmp_path
