"""The evaluation MariaDB and Valkey: they work together with the application, and say what they are not for."""

from __future__ import annotations

import socket
from typing import Any

import pytest
from redis import Redis as Client
from redis.connection import parse_url
from sqlalchemy import make_url

from tests.chart import helm
from tests.chart.environment import container_of, merged, resolve, secrets_of
from tests.conftest import _skip_if_missing
from tests.servers import Redis

VALUES: dict[str, Any] = {"evaluation": {"enabled": True}}
SERVERS = ("mariadb", "valkey")
ODD_PASSWORD = "quote\" back\\slash # {brace} 'tick' é"


def test_everything_says_what_it_is_not_for():
    """Each object and each pod has the label, and an annotation in words."""
    objects = helm.render(VALUES)
    found = [manifest for manifest in objects if helm.component_of(manifest) in SERVERS]
    assert {manifest["kind"] for manifest in found} == {"Deployment", "Service", "Secret"}
    pods = [manifest["spec"]["template"] for manifest in found if manifest["kind"] == "Deployment"]
    for manifest in [*found, *pods]:
        assert manifest["metadata"]["labels"]["ullage.dev/not-for-production"] == "true"
        assert "without a backup" in manifest["metadata"]["annotations"]["ullage.dev/not-for-production"]


def test_is_off_by_default():
    """With servers of one's own nothing of it is there."""
    objects = helm.render({"database": {"host": "db.example"}, "redis": {"host": "redis.example"}})
    assert [helm.name(each) for each in objects if helm.component_of(each) in SERVERS] == []


def test_application_and_servers_agree():
    """The URLs lead to the Services, with the user, the password and the names that the servers are told."""
    objects = helm.render(merged(VALUES, {"database": {"port": 3310, "name": "shop", "user": "ada"}}))
    secrets = secrets_of(objects)
    web = resolve(container_of(objects, "Deployment", "web", "web"), secrets)
    mariadb = resolve(container_of(objects, "Deployment", "mariadb", "mariadb"), secrets)
    url = make_url(web["DATABASE_URL"])
    service = objects.one("Service", "mariadb")
    assert (url.host, url.port) == (service["metadata"]["name"], service["spec"]["ports"][0]["port"])
    assert (url.username, url.password) == (mariadb["MARIADB_USER"], mariadb["MARIADB_PASSWORD"])
    assert url.database == mariadb["MARIADB_DATABASE"] == "shop"
    redis = parse_url(web["REDIS_URL"])
    assert redis["host"] == objects.one("Service", "valkey")["metadata"]["name"]
    assert len(url.password) == len(redis["password"]) == 32


def test_the_server_has_the_limits_of_the_values():
    """max_connections and wait_timeout are what the budget and pool_recycle count with."""
    objects = helm.render(merged(VALUES, {"database": {"maxConnections": 200, "waitTimeoutSeconds": 90}}))
    arguments = container_of(objects, "Deployment", "mariadb", "mariadb")["args"]
    assert {"--max-connections=200", "--wait-timeout=90", "--interactive-timeout=90"} <= set(arguments)


def test_an_upgrade_of_the_application_leaves_the_servers_alone():
    """Another image, chart or worker changes no evaluation pod: it would come back without its data."""

    def pods(values: dict[str, Any], revision: int) -> list[dict[str, Any]]:
        passwords = {"database": {"password": "a"}, "redis": {"password": "b"}}
        objects = helm.render(merged(VALUES, passwords, values), revision=revision)
        return [objects.one("Deployment", server)["spec"]["template"] for server in SERVERS]

    assert pods({}, 1) == pods({"image": {"tag": "9"}, "web": {"replicas": 5}, "workers": []}, 2)


@pytest.mark.parametrize("server", SERVERS)
def test_storage_is_a_claim_of_the_release(server):
    """With a size the data is on a claim, which ends with the release; without it, in the pod."""
    stored = helm.render(merged(VALUES, {"evaluation": {server: {"storage": "1Gi"}}}))
    claim = stored.one("PersistentVolumeClaim", server)
    volumes = stored.one("Deployment", server)["spec"]["template"]["spec"]["volumes"]
    assert {"name": "data", "persistentVolumeClaim": {"claimName": claim["metadata"]["name"]}} in volumes
    in_pod = helm.render(VALUES)
    assert in_pod.of("PersistentVolumeClaim") == []
    volumes = in_pod.one("Deployment", server)["spec"]["template"]["spec"]["volumes"]
    assert {"name": "data", "emptyDir": {}} in volumes


@pytest.mark.parametrize("kind", ["database", "redis"])
def test_refuses_tls(kind):
    """TLS to a server without a certificate of a known authority is refused with what to change."""
    message = f"{kind}.tls.enabled is true, and the evaluation server has no certificate to verify"
    assert message in helm.refusal(merged(VALUES, {kind: {"tls": {"enabled": True}}}))


class ConfiguredRedis(Redis):
    """`redis-server` with the chart's configuration, on a port and in a directory of its own."""

    configuration = ""

    def command(self) -> list[str]:
        """Return the program and its arguments."""
        file = self.directory / "valkey.conf"
        file.write_text(self.configuration)
        return [super().command()[0], str(file), *super().command()[1:]]

    def is_ready(self) -> bool:
        """Say whether the server answers that a password is missing."""
        return self.ask(b"PING").startswith(b"-NOAUTH")

    def ask(self, command: bytes) -> bytes:
        """Return the beginning of the answer to one command without a password."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as client:
                client.sendall(command + b"\r\n")
                return client.recv(64)
        except OSError:
            return b""


@pytest.mark.parametrize("user", ["", "ada"], ids=["password", "user"])
def test_the_configuration_takes_every_password(user):
    """A real server with the configuration lets in the application's URL, and nobody without a password."""
    objects = helm.render(merged(VALUES, {"redis": {"user": user, "password": ODD_PASSWORD}}))
    secrets = secrets_of(objects)
    options = parse_url(resolve(container_of(objects, "Deployment", "web", "web"), secrets)["REDIS_URL"])
    server = ConfiguredRedis()
    server.configuration = secrets["shop-ullage-valkey"]["valkey.conf"]
    with _skip_if_missing(), server:
        options |= {"host": "127.0.0.1", "port": server.port}
        with Client(**options) as client:
            assert client.ping()
        assert server.ask(b"KEYS *").startswith(b"-NOAUTH")
