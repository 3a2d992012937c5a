"""TLS to real servers with the URLs that the chart makes: what is verified, and what is refused."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from redis import Redis as Client
from redis.exceptions import ConnectionError as RedisConnectionError
from sqlalchemy import NullPool, create_engine, text
from sqlalchemy.exc import OperationalError

from app.config import Config
from tests.certificates import Authority
from tests.chart import helm
from tests.chart.environment import container_of, resolve
from tests.conftest import _skip_if_missing
from tests.servers import MariaDB, Redis

SECRETS = {"theirs": {"password": MariaDB.application_password}}


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Give the authority that both servers and their clients trust."""
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def files(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a directory as the chart mounts it, with a client's certificate."""
    directory = tmp_path_factory.mktemp("mounted")
    certificate, key = authority.issue("client")
    for source, name in ((authority.file, "ca.crt"), (certificate, "tls.crt"), (key, "tls.key")):
        (directory / name).write_bytes(source.read_bytes())
    return directory


@pytest.fixture(scope="module")
def tls_mariadb(authority: Authority) -> Iterator[MariaDB]:
    """Give a MariaDB that speaks TLS alone, and asks the application's account for a certificate."""
    certificate, key = authority.issue("server")
    options = {"ssl_ca": authority.file, "ssl_cert": certificate, "ssl_key": key, "require_secure_transport": "ON"}
    with _skip_if_missing(), MariaDB({name: str(value) for name, value in options.items()}) as server:
        server.execute(f"ALTER USER {server.application_user}@'127.0.0.1' REQUIRE X509")
        yield server


class TlsRedis(Redis):
    """`redis-server` that speaks TLS alone, and asks for a certificate."""

    def __init__(self, authority: Authority) -> None:
        super().__init__()
        self.authority = authority

    def command(self) -> list[str]:
        """Return the program and its arguments."""
        certificate, key = self.authority.issue("server")
        files = {"cert-file": certificate, "key-file": key, "ca-cert-file": self.authority.file}
        tls = [word for name, value in files.items() for word in (f"--tls-{name}", str(value))]
        return [*super().command(), "--port", "0", "--tls-port", str(self.port), *tls]

    def is_ready(self) -> bool:
        """Say whether the server takes connections."""
        with socket.socket() as client:
            return client.connect_ex(("127.0.0.1", self.port)) == 0


@pytest.fixture(scope="module")
def tls_redis(authority: Authority) -> Iterator[TlsRedis]:
    """Give a Redis that speaks TLS alone."""
    with _skip_if_missing(), TlsRedis(authority) as server:
        yield server


def environment(kind: str, files: Path, host: str, port: int, **tls: str) -> dict[str, str]:
    """Return web's variables for a server with TLS, with the mounted directory where the test's is."""
    values: dict[str, Any] = {
        "database": {"host": "db.example", "user": MariaDB.application_user, "name": "test"},
        "redis": {"host": "redis.example"},
    }
    values[kind] |= {"host": host, "port": port, "tls": {"enabled": True, **tls}}
    if kind == "database":
        values[kind]["existingSecret"] = {"name": "theirs"}
    container = container_of(helm.render(values), "Deployment", "web", "web")
    mounted = f"/etc/ullage/{kind}-tls"
    if "caSecret" in tls:
        assert mounted in [mount["mountPath"] for mount in container["volumeMounts"]]
    # In a URL's query the directory is percent-encoded.
    return {
        name: value.replace(quote(mounted, safe=""), quote(str(files), safe=""))
        for name, value in resolve(container, SECRETS).items()
    }


BOTH = {"caSecret": "ca", "clientSecret": "client"}


class TestDatabase:
    def connect(self, variables: dict[str, str]) -> str:
        """Connect as the application does, and return the cipher."""
        engine = create_engine(Config.from_environ(variables).database_url, poolclass=NullPool)
        with engine.connect() as connection:
            return str(connection.execute(text("SHOW STATUS LIKE 'Ssl_cipher'")).one()[1])

    def test_is_verified_and_sees_the_certificate(self, tls_mariadb, files):
        """With the right CA and certificate the connection is encrypted."""
        assert self.connect(environment("database", files, "127.0.0.1", tls_mariadb.port, **BOTH))

    def test_refuses_an_unknown_authority(self, tls_mariadb, files):
        """A server whose certificate another authority signed is refused: here the machine's own store is asked."""
        variables = environment("database", files, "127.0.0.1", tls_mariadb.port, clientSecret="client")
        with pytest.raises(OperationalError, match="CERTIFICATE_VERIFY_FAILED"):
            self.connect(variables)

    def test_refuses_another_name(self, tls_mariadb, files):
        """A server with a good certificate of another name is refused."""
        with pytest.raises(OperationalError, match="Hostname mismatch"):
            self.connect(environment("database", files, "localhost", tls_mariadb.port, **BOTH))

    def test_needs_its_certificate(self, tls_mariadb, files):
        """Without the client's certificate the server refuses, so it was what let the first test in."""
        with pytest.raises(OperationalError, match="1045"):
            self.connect(environment("database", files, "127.0.0.1", tls_mariadb.port, caSecret="ca"))


class TestRedis:
    def ping(self, variables: dict[str, str]) -> bool:
        """Ask for a sign of life, as RQ's connection would."""
        with Client.from_url(variables["RQ_REDIS_URL"]) as client:
            return bool(client.ping())

    def test_is_verified_and_sees_the_certificate(self, tls_redis, files):
        """With the right CA and certificate Redis answers."""
        assert self.ping(environment("redis", files, "127.0.0.1", tls_redis.port, **BOTH))

    def test_refuses_an_unknown_authority(self, tls_redis, files):
        """A server whose certificate another authority signed is refused."""
        with pytest.raises(RedisConnectionError, match="CERTIFICATE_VERIFY_FAILED"):
            self.ping(environment("redis", files, "127.0.0.1", tls_redis.port, clientSecret="client"))

    def test_refuses_another_name(self, tls_redis, files):
        """A server with a good certificate of another name is refused."""
        with pytest.raises(RedisConnectionError, match="Hostname mismatch"):
            self.ping(environment("redis", files, "localhost", tls_redis.port, **BOTH))
