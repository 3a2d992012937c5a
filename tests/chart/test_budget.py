"""The connection budget: how many connections a release may hold, and how the sum is spelt out."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.chart import helm
from tests.chart.environment import merged

HOSTS: dict[str, Any] = {"database": {"host": "db.example"}, "redis": {"host": "redis.example"}}
PROBE = """
apiVersion: v1
kind: ConfigMap
metadata: {name: budget}
data:
  budget: {{ include "ullage.budget" . | quote }}
"""


def budget(*values: dict[str, Any]) -> dict[str, Any]:
    """Return what `ullage.budget` gives."""
    objects = helm.render(merged(HOSTS, {"extraManifests": [PROBE]}, *values))
    return json.loads(objects.one("ConfigMap")["data"]["budget"])


def test_of_a_default_release():
    """Web, one worker set and the migration are counted, with the surge of a rolling update, and the sum spelt out."""
    assert budget() == {
        "components": {"web": 60, "worker-default": 6, "migration": 1},
        "total": 67,
        "limit": 0,
        "available": 0,
        "explanation": "web: (2 replicas + 1 surge) x 2 processes x (5 + 5) = 60; "
        "worker-default: (1 replica + 1 surge) x 1 process x (1 + 2) = 6; migration: 1; in total 67",
    }


def test_is_compared_with_what_the_server_leaves():
    """What people, backups and monitoring need is taken from the server's limit."""
    limited = budget({"database": {"maxConnections": 100, "reservedConnections": 15}})
    assert (limited["limit"], limited["available"]) == (100, 85)
    small = budget({"database": {"maxConnections": 70, "reservedConnections": 3}})
    assert (small["available"], small["total"]) == (67, 67)


def test_knows_the_evaluation_server():
    """The evaluation MariaDB has its default of 151 connections unless the values say otherwise, and is told so."""
    evaluation = {"evaluation": {"enabled": True}, "database": {"host": ""}, "redis": {"host": ""}}
    assert budget(evaluation)["limit"] == 151
    assert budget(evaluation, {"database": {"maxConnections": 200}})["limit"] == 200


@pytest.mark.parametrize(
    ("replicas", "surge", "pods"),
    [(2, 0, 2), (2, 3, 5), (3, "25%", 4), (4, "25%", 5), (5, "25%", 7), (10, "100%", 20), (4, "0%", 4)],
)
def test_counts_the_surge(replicas, surge, pods):
    """A surge in percent is of the replicas, rounded up as Kubernetes does."""
    web = {"replicas": replicas, "strategy": {"maxSurge": surge, "maxUnavailable": 1}}
    assert budget({"web": web})["components"]["web"] == pods * 20


def test_counts_what_autoscalers_may_reach():
    """An autoscaler's maximum takes the place of the replicas, which it ignores."""
    autoscaling = {"enabled": True, "minReplicas": 2, "maxReplicas": 8}
    workers = [{"name": "busy", "autoscaling": {"type": "cpu", "maxReplicas": 5}}]
    components = budget({"web": {"autoscaling": autoscaling}, "workers": workers})["components"]
    assert components == {"web": (8 + 1) * 20, "worker-busy": (5 + 1) * 3, "migration": 1}


def test_counts_every_worker_set_by_itself():
    """Each set has its own replicas, processes, pool and surge."""
    wide = {"name": "wide", "replicas": 3, "processes": 4, "pool": {"size": 2, "maxOverflow": 1}}
    still = {"name": "still", "strategy": {"maxSurge": 0, "maxUnavailable": 1}}
    components = budget({"workers": [wide, still]})["components"]
    assert (components["worker-wide"], components["worker-still"]) == ((3 + 1) * 4 * 3, 3)


def test_leaves_out_what_does_not_run():
    """Without web, workers and migrations nothing is counted, nor without a database."""
    alone = budget({"web": {"enabled": False}, "migrations": {"enabled": False}})
    assert alone["components"] == {"worker-default": 6}
    assert alone["explanation"] == "worker-default: (1 replica + 1 surge) x 1 process x (1 + 2) = 6"
    assert budget({"database": {"enabled": False}})["total"] == 0
