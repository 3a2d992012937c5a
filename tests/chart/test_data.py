"""What the application is told about its database and Redis, and that no password is anywhere else."""

from __future__ import annotations

import json
from typing import Any

import pytest
from redis.connection import parse_url
from sqlalchemy import make_url

from app.config import Config
from tests.chart import helm
from tests.chart.environment import container_of, merged, resolve, secrets_of
from tests.chart.helm import Objects

HOSTS: dict[str, Any] = {"database": {"host": "db.example"}, "redis": {"host": "redis.example"}}
# Every character that means something to a URL, to YAML, to Kubernetes or to a shell, and some that need UTF-8.
ODD_PASSWORD = " %41 +&/?#@:[]'\"\\$(HOME)$$;,=~|<>{}`!*\t\u00e9\u65e5\U0001f600 "
FIELDS = {"name": "theirs", "hostKey": "host", "userKey": "user", "passwordKey": "password"}
THEIRS = {
    "theirs": {"host": "db.example", "user": "us/er", "password": ODD_PASSWORD, "url": "mysql+pymysql://theirs/app"}
}


def web_environment(objects: Objects, secrets: dict[str, dict[str, str]] | None = None) -> dict[str, str]:
    """Return what web's container starts with."""
    return resolve(container_of(objects, "Deployment", "web", "web"), {**secrets_of(objects), **(secrets or {})})


class TestPasswordAsValue:
    @pytest.fixture
    def odd(self):
        """Render with passwords that have every odd character."""
        password = {"user": ODD_PASSWORD, "password": ODD_PASSWORD}
        return helm.render(merged(HOSTS, {"database": password, "redis": password}))

    def test_reaches_sqlalchemy_as_it_is(self, odd):
        """User and password come out of the URL as they went into the values."""
        url = make_url(web_environment(odd)["DATABASE_URL"])
        assert (url.username, url.password, url.host) == (ODD_PASSWORD, ODD_PASSWORD, "db.example")
        assert (url.port, url.database, url.query) == (3306, "app", {"charset": "utf8mb4"})

    def test_reaches_redis_as_it_is(self, odd):
        """The application's URL and the one that `rq` reads have the same user and password."""
        environment = web_environment(odd)
        assert environment["REDIS_URL"] == environment["RQ_REDIS_URL"]
        options = parse_url(environment["REDIS_URL"])
        assert (options["username"], options["password"], options["host"]) == (
            ODD_PASSWORD,
            ODD_PASSWORD,
            "redis.example",
        )

    def test_is_in_secrets_alone(self):
        """No variable, argument, label or annotation has a password; only Secrets do."""
        objects = helm.render(
            merged(HOSTS, {"database": {"password": "pass-word-1"}, "redis": {"password": "pass-word-2"}})
        )
        others = [manifest for manifest in objects if manifest["kind"] != "Secret"]
        assert "pass-word" not in json.dumps(others)
        assert {"pass-word-1", "pass-word-2"} <= {secret["password"] for secret in secrets_of(objects).values()}

    def test_restarts_pods_when_it_changes(self):
        """Web and workers carry one checksum, which is another for another password."""

        def checksums(password: str) -> set[str]:
            objects = helm.render(merged(HOSTS, {"database": {"password": password}}))
            pods = [deployment["spec"]["template"] for deployment in objects.of("Deployment")]
            return {pod["metadata"].get("annotations", {}).get("checksum/data") for pod in pods} - {None}

        first, second = checksums("first"), checksums("second")
        assert len(first) == len(second) == 1
        assert first != second

    def test_may_be_missing(self):
        """Without any password the URL is plain, and no Secret is made."""
        objects = helm.render(merged(HOSTS, {"database": {"host": "fd00::1"}}))
        assert objects.of("Secret") == []
        environment = web_environment(objects)
        assert environment["DATABASE_URL"] == "mysql+pymysql://app@[fd00::1]:3306/app?charset=utf8mb4"
        assert environment["REDIS_URL"] == "redis://redis.example:6379/0"


class TestExistingSecret:
    def test_with_the_whole_url(self):
        """The URL comes straight from the Secret, with no part of it anywhere else."""
        existing = {"existingSecret": {"name": "theirs", "urlKey": "url"}}
        objects = helm.render({"database": existing, "redis": existing})
        assert objects.of("Secret") == []
        environment = web_environment(objects, THEIRS)
        assert environment["DATABASE_URL"] == environment["REDIS_URL"] == THEIRS["theirs"]["url"]
        assert "DATABASE_HOST" not in environment
        assert "REDIS_HOST" not in environment

    def test_with_single_fields_is_right_for_the_reference_application(self):
        """Host, user and an odd password of a Secret reach SQLAlchemy as they are, by the parts."""
        objects = helm.render(merged(HOSTS, {"database": {"host": "", "existingSecret": FIELDS}}))
        url = make_url(Config.from_environ(web_environment(objects, THEIRS)).database_url)
        assert (url.drivername, url.username, url.password) == ("mysql+pymysql", "us/er", ODD_PASSWORD)
        assert (url.host, url.port, url.database) == ("db.example", 3306, "app")
        assert url.query == {"charset": "utf8mb4"}

    def test_with_single_fields_gives_others_a_url(self):
        """Kubernetes puts the URL together, which is right for a password without reserved characters."""
        secret = {"theirs": {"host": "db.example", "user": "shop", "password": "Plain-1.2_3~"}}
        objects = helm.render({"database": {"existingSecret": FIELDS}, "redis": {"existingSecret": FIELDS}})
        environment = web_environment(objects, secret)
        assert environment["DATABASE_URL"] == "mysql+pymysql://shop:Plain-1.2_3~@db.example:3306/app?charset=utf8mb4"
        assert environment["REDIS_URL"] == "redis://shop:Plain-1.2_3~@db.example:6379/0"

    def test_with_a_password_alone(self):
        """What has no key in the Secret comes from the values, percent-encoded in the URL."""
        existing = {"user": "us/er", "existingSecret": {"name": "theirs"}}
        environment = web_environment(
            helm.render(merged(HOSTS, {"database": existing})), {"theirs": {"password": "pw"}}
        )
        assert environment["DATABASE_URL"].startswith("mysql+pymysql://us%2Fer:pw@db.example:3306/")
        assert (environment["DATABASE_USER"], environment["DATABASE_HOST"]) == ("us/er", "db.example")


@pytest.mark.parametrize(("wait_timeout", "recycle"), [(28800, "1800"), (3601, "1800"), (600, "300"), (2, "1")])
def test_pools_recycle_before_the_server_closes(wait_timeout, recycle):
    """pool_recycle is half of wait_timeout, and half an hour at most."""
    environment = web_environment(helm.render(merged(HOSTS, {"database": {"waitTimeoutSeconds": wait_timeout}})))
    assert environment["DB_POOL_RECYCLE"] == recycle


def test_names_of_variables_are_values():
    """An application that reads other variables gets its own names, for the URL, its parts and the pool."""
    names = {"url": "SQLALCHEMY_DATABASE_URI", "password": "MYSQL_PWD", "poolSize": "SIZE"}
    values = merged(HOSTS, {"database": {"env": names, "existingSecret": {"name": "theirs"}}})
    environment = web_environment(helm.render(values), {"theirs": {"password": "pw"}})
    assert environment["MYSQL_PWD"] == "pw"
    assert ":pw@" in environment["SQLALCHEMY_DATABASE_URI"]
    assert environment["SIZE"] == "5"
    assert {"DATABASE_URL", "DATABASE_PASSWORD", "DB_POOL_SIZE"}.isdisjoint(environment)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        pytest.param(
            {"database": {"password": "x", "existingSecret": {"name": "theirs"}}},
            "database.password and database.existingSecret.name are both set; remove the one that is not meant",
            id="two-passwords",
        ),
        pytest.param(
            {"database": {"tls": {"enabled": True}, "dialect": "mysql+other"}},
            "it is not known how mysql+other verifies a server; set it to false and put the driver's options into",
            id="unknown-driver",
        ),
    ],
)
def test_refuses_a_contradiction(values, message):
    """A contradiction is refused with what to change."""
    assert message in helm.refusal(merged(HOSTS, values))
