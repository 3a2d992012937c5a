"""The NetworkPolicies, judged as Kubernetes does: who reaches whom, and nobody else."""

from __future__ import annotations

from typing import Any

import pytest

from tests.chart import helm

PODS = ("web", "worker", "observer", "migration", "test", "mariadb", "valkey")
HTTP, METRICS, MARIADB, VALKEY, DNS, API = 8000, 9145, 3306, 6379, 53, 6443
INGRESS_CONTROLLER = {"app": "ingress"}
PROMETHEUS = {"app": "prometheus"}
ENABLED: dict[str, Any] = {
    "evaluation": {"enabled": True},
    "networkPolicy": {
        "enabled": True,
        "ingressFrom": [{"podSelector": {"matchLabels": INGRESS_CONTROLLER}}],
        "metricsFrom": [{"podSelector": {"matchLabels": PROMETHEUS}}],
    },
}
# An address outside of the cluster, or the API server, which no selector matches.
OUTSIDE: dict[str, str] = {}


def pod(component: str) -> dict[str, str]:
    """Return the labels of a component's pod."""
    return {
        "app.kubernetes.io/name": "ullage",
        "app.kubernetes.io/instance": helm.RELEASE,
        "app.kubernetes.io/component": component,
    }


def selects(selector: dict[str, Any], labels: dict[str, str]) -> bool:
    """Say whether a label selector matches."""
    by_label = all(labels.get(key) == value for key, value in selector.get("matchLabels", {}).items())
    # The chart uses no other operator.
    assert all(expression["operator"] == "In" for expression in selector.get("matchExpressions", []))
    return by_label and all(
        labels.get(expression["key"]) in expression["values"] for expression in selector.get("matchExpressions", [])
    )


def allows(rule: dict[str, Any], side: str, peer: dict[str, str], port: int) -> bool:
    """Say whether a rule lets a peer through on a port."""
    ports = [entry["port"] for entry in rule.get("ports", [])]
    peers = rule.get(side)
    matching = not peers or any(peer and selects(entry.get("podSelector", {"": ""}), peer) for entry in peers)
    return matching and (not ports or port in ports)


def passes(policies: list[dict[str, Any]], way: str, at: dict[str, str], peer: dict[str, str], port: int) -> bool:
    """Say whether the policies that select a pod let it exchange with a peer, in one direction."""
    applying = [policy["spec"] for policy in policies if selects(policy["spec"]["podSelector"], at)]
    applying = [spec for spec in applying if way in spec["policyTypes"]]
    side = "from" if way == "Ingress" else "to"
    rules = [rule for spec in applying for rule in spec.get(way.lower(), [])]
    return not applying or any(allows(rule, side, peer, port) for rule in rules)


def reaches(policies: list[dict[str, Any]], source: dict[str, str], target: dict[str, str], port: int) -> bool:
    """Say whether a connection comes about."""
    return passes(policies, "Egress", source, target, port) and passes(policies, "Ingress", target, source, port)


def rendered(**values: Any) -> list[dict[str, Any]]:
    """Render the policies."""
    return helm.render({**ENABLED, **values}).of("NetworkPolicy")


def test_within_the_release_each_reaches_what_it_needs():
    """The table of who reaches whom has these entries and no other."""
    policies = rendered()
    found = {
        (source, target, port)
        for source in PODS
        for target in PODS
        for port in (HTTP, METRICS, MARIADB, VALKEY, DNS, API)
        if reaches(policies, pod(source), pod(target), port)
    }
    metrics = {("observer", "web", METRICS), ("observer", "worker", METRICS)}
    tests = {("test", "web", HTTP), *(("test", target, METRICS) for target in ("web", "worker", "observer"))}
    database = {(source, "mariadb", MARIADB) for source in ("web", "worker", "migration")}
    redis = {(source, "valkey", VALKEY) for source in ("web", "worker", "observer", "test")}
    assert found == metrics | tests | database | redis


def test_a_stray_pod_reaches_nothing():
    """A pod of another release, or of none, reaches no port of this one."""
    policies = rendered()
    strays = [{"app": "stray"}, {**pod("web"), "app.kubernetes.io/instance": "other"}]
    ports = (HTTP, METRICS, MARIADB, VALKEY)
    assert not [
        (target, port)
        for stray in strays
        for target in PODS
        for port in ports
        if reaches(policies, stray, pod(target), port)
    ]


def test_the_peers_that_are_named_are_let_in():
    """The ingress controller reaches web alone, and Prometheus the metrics alone."""
    policies = rendered()
    assert [target for target in PODS if reaches(policies, INGRESS_CONTROLLER, pod(target), HTTP)] == ["web"]
    assert not [target for target in PODS if reaches(policies, INGRESS_CONTROLLER, pod(target), METRICS)]
    assert [target for target in PODS if reaches(policies, PROMETHEUS, pod(target), METRICS)] == [
        "web",
        "worker",
        "observer",
    ]
    assert not reaches(policies, PROMETHEUS, pod("web"), HTTP)


def test_everyone_is_let_in_where_nobody_is_named():
    """Without peers, web's port and the metrics are open, and nothing else is."""
    policies = rendered(networkPolicy={"enabled": True})
    stray = {"app": "stray"}
    assert reaches(policies, stray, pod("web"), HTTP)
    assert reaches(policies, stray, pod("worker"), METRICS)
    assert not reaches(policies, stray, pod("mariadb"), MARIADB)
    assert not reaches(policies, stray, pod("web"), VALKEY)


@pytest.mark.parametrize("source", PODS)
def test_out_of_the_release_goes_dns_and_little_else(source):
    """Every pod resolves names; the observer alone reaches the API server; nothing else leaves the release."""
    policies = rendered()
    open_ports = [
        port for port in (DNS, 443, API, MARIADB, VALKEY, 80) if reaches(policies, pod(source), OUTSIDE, port)
    ]
    assert open_ports == ([DNS, 443, API] if source == "observer" else [DNS])


def test_external_servers_are_reached_on_their_ports():
    """An external database and Redis are reached on their own ports, by those that use them."""
    external = {
        "evaluation": {"enabled": False},
        "database": {"host": "db", "port": 3307},
        "redis": {"host": "r", "port": 6380},
    }
    policies = rendered(**external)
    users = {
        port: [source for source in PODS if reaches(policies, pod(source), OUTSIDE, port)]
        for port in (3307, 6380, 3306)
    }
    assert users == {3307: ["web", "worker", "migration"], 6380: ["web", "worker", "observer", "test"], 3306: []}


def test_the_peers_of_external_servers_are_kept_to():
    """databaseTo, redisTo, dnsTo and apiServerTo narrow their rules, and extra rules are added as they are."""
    block = [{"ipBlock": {"cidr": "10.9.0.0/16"}}]
    keys = ("databaseTo", "redisTo", "dnsTo", "apiServerTo")
    given = {"enabled": True, "extraEgress": [{"to": block}], "extraIngress": [{"from": block}]}
    policies = rendered(
        evaluation={"enabled": False},
        database={"host": "db"},
        redis={"host": "redis"},
        networkPolicy={**given, **dict.fromkeys(keys, block)},
    )
    specs = {policy["metadata"]["name"].rpartition("allow-")[2]: policy["spec"] for policy in policies}
    assert [specs[name]["egress"][0]["to"] for name in ("database", "redis", "dns", "observer")] == [block] * 4
    assert specs["application"]["egress"] == [{"to": block}]
    assert specs["web"]["ingress"][-1] == {"from": block}


def test_the_evaluation_servers_are_reached_behind_a_service_s_other_port():
    """A policy is about the pod's port, whatever the Service's is."""
    policies = rendered(database={"port": 3310}, redis={"port": 6390})
    assert reaches(policies, pod("web"), pod("mariadb"), MARIADB)
    assert reaches(policies, pod("worker"), pod("valkey"), VALKEY)


def test_there_is_none_unless_it_is_asked_for():
    """By default the chart makes no NetworkPolicy."""
    assert not helm.render({"evaluation": {"enabled": True}}).of("NetworkPolicy")
