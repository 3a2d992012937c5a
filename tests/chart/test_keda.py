"""KEDA's objects: workers scaled by the length of their queues."""

from __future__ import annotations

from typing import Any

import pytest

from tests.chart import helm
from tests.chart.helm import Objects


class TestKeda:
    OWN = ({"name": "mail", "queues": ["mail", "bulk"], "autoscaling": {"type": "queue"}},)

    def scaled(self, redis: dict[str, Any]) -> Objects:
        return helm.render({"database": {"host": "db"}, "redis": redis, "workers": list(self.OWN)})

    def parameters(self, objects: Objects) -> dict[str, tuple[str, str]]:
        (authentication,) = objects.of("TriggerAuthentication")
        references = authentication["spec"]["secretTargetRef"]
        return {one["parameter"]: (one["name"], one["key"]) for one in references}

    def test_each_queue_is_a_list_in_redis(self) -> None:
        """There is one trigger a queue, on the list that RQ keeps it in."""
        triggers = self.scaled({"host": "redis"}).one("ScaledObject")["spec"]["triggers"]
        assert [one["metadata"]["listName"] for one in triggers] == ["rq:queue:mail", "rq:queue:bulk"]
        assert {one["metadata"]["address"] for one in triggers} == {"redis:6379"}
        assert all(isinstance(value, str) for one in triggers for value in one["metadata"].values())

    def test_without_a_secret_there_is_nothing_to_authenticate_with(self) -> None:
        """A Redis without password and TLS needs no TriggerAuthentication."""
        objects = self.scaled({"host": "redis"})
        assert objects.of("TriggerAuthentication") == []
        assert "authenticationRef" not in objects.one("ScaledObject")["spec"]["triggers"][0]

    def test_it_logs_in_with_the_existing_secret(self) -> None:
        """Host, user and password are read from where the workers read them, key by key."""
        existing = {"name": "shop-redis", "hostKey": "host", "userKey": "user", "passwordKey": "secret"}
        objects = self.scaled({"existingSecret": existing, "port": 6380})
        assert self.parameters(objects) == {
            "host": ("shop-redis", "host"),
            "username": ("shop-redis", "user"),
            "password": ("shop-redis", "secret"),
        }
        metadata = objects.one("ScaledObject")["spec"]["triggers"][0]["metadata"]
        assert metadata["port"] == "6380"
        assert not {"address", "username"} & set(metadata)

    def test_tls_and_an_acl_user_reach_it(self) -> None:
        """With rediss:// it gets the CA and the client's certificate, and a user of the values by name."""
        tls = {"enabled": True, "caSecret": "ca", "caKey": "root.pem", "clientSecret": "client"}
        objects = self.scaled({"host": "redis", "user": "rq", "password": "p", "database": 3, "tls": tls})
        found = self.parameters(objects)
        assert (found["ca"], found["cert"]) == (("ca", "root.pem"), ("client", "tls.crt"))
        assert found["key"] == ("client", "tls.key")
        metadata = objects.one("ScaledObject")["spec"]["triggers"][0]["metadata"]
        assert (metadata["username"], metadata["databaseIndex"], metadata["enableTLS"]) == ("rq", "3", "true")

    def test_a_whole_url_is_refused(self) -> None:
        """KEDA takes no URL, and the refusal says what to give instead."""
        with pytest.raises(helm.RefusedError, match=r"KEDA takes no URL; give redis\.host"):
            self.scaled({"existingSecret": {"name": "shop-redis", "urlKey": "url"}})
