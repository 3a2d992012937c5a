"""NOTES.txt: what a person reads after the install."""

from __future__ import annotations

from typing import Any

import pytest

from tests.chart import helm

EVALUATION: dict[str, Any] = {"evaluation": {"enabled": True}}
GATEWAY = {"enabled": True, "hostnames": ["shop.example"], "parentRefs": [{"name": "main", "sectionName": "https"}]}
TLS = [{"secretName": "shop-tls", "hosts": ["shop.example"]}]
HOSTS = [{"host": "shop.example", "paths": [{"path": "/", "pathType": "Prefix"}]}]


def notes(values: dict[str, Any]) -> str:
    """Render NOTES.txt."""
    return next(text for path, text in helm.render_files(values).items() if path.endswith("NOTES.txt"))


@pytest.mark.parametrize(
    ("given", "address"),
    [
        pytest.param({}, "kubectl port-forward -n team service/shop-ullage-web 8000:80", id="service"),
        pytest.param({"web": {"service": {"type": "NodePort"}}}, "http://<a node>:<port>/", id="node-port"),
        pytest.param({"web": {"service": {"type": "LoadBalancer"}}}, "http://<EXTERNAL-IP>:80/", id="load-balancer"),
        pytest.param({"ingress": {"enabled": True, "hosts": HOSTS}}, "http://shop.example/\n", id="ingress"),
        pytest.param(
            {"ingress": {"enabled": True, "hosts": HOSTS, "tls": TLS, "pathPrefix": "/shop"}},
            "https://shop.example/shop/\n",
            id="prefix-and-tls",
        ),
        pytest.param(
            {"httpRoute": {**GATEWAY, "httpsRedirect": True}, "proxy": {"topology": "istio"}},
            "https://shop.example/\n",
            id="gateway",
        ),
    ],
)
def test_it_has_the_address(given, address):
    """However web is exposed, its address is there."""
    assert address in notes({**EVALUATION, **given})


def test_it_has_the_budget_with_its_sum():
    """The most connections are there, by component and in total, beside what the database has."""
    text = notes({"database": {"host": "db", "maxConnections": 100}, "redis": {"host": "redis"}})
    assert "     web: (2 replicas + 1 surge) x 2 processes x (5 + 5) = 60\n" in text
    assert "     in total 67\n   The database has 90 for them.\n" in text
    assert "Set database.maxConnections" in notes({"database": {"host": "db"}, "redis": {"host": "redis"}})


def test_it_warns_of_what_is_not_for_production():
    """Evaluation servers and faults are warned of where they are on, and only there."""
    assert notes({**EVALUATION, "app": {"faults": True}}).count("NOT FOR PRODUCTION") == 2
    assert "NOT FOR PRODUCTION" not in notes({"database": {"host": "db"}, "redis": {"host": "redis"}})


def test_it_names_what_is_in_force():
    """The policies, and what is on and off, are there."""
    workers = [{"name": "mail", "policy": "strict"}]
    text = notes({**EVALUATION, "workers": workers, "networkPolicy": {"enabled": True}})
    assert "(policy reclaim, strict for worker set mail, pre-ping enforce)" in text
    assert "PodMonitor off, alerts off, dashboards off, NetworkPolicies on." in text


def test_it_says_where_a_redirect_is_left_out():
    """Traefik without its CRDs, and controllers that redirect elsewhere, are told of."""
    for topology, said in (("traefik", "traefik.io/v1alpha1"), ("gke", "docs/proxies.md says where")):
        text = notes({**EVALUATION, "proxy": {"topology": topology}, "ingress": {"enabled": True, "tls": TLS}})
        assert "http is not redirected to https" in text
        assert said in text


def test_it_leaves_out_what_is_not_there():
    """Without web, tests, migrations, sidecars and a database, nothing is said of them."""
    text = notes(
        {
            "web": {"enabled": False},
            "tests": {"enabled": False},
            "migrations": {"enabled": False},
            "exporter": {"enabled": False},
            "observer": {"events": {"enabled": False}},
            "database": {"enabled": False},
            "redis": {"host": "redis"},
        }
    )
    assert [
        word for word in ("helm test", "answers at", "wait-for-schema", "curl", "connections") if word in text
    ] == []
    assert "Nothing is measured: exporter.enabled is false." in text
