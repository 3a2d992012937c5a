"""Every topology preset: the application sees the client, and what the client claims of itself loses."""

from __future__ import annotations

from typing import Any

import pytest

from tests.e2e import hops
from tests.e2e.cluster import Namespace, Release

CLIENT = ["python", "-c", "import time; time.sleep(3600)"]
SPOOFED = {
    "X-Forwarded-For": "6.6.6.6",
    "X-Forwarded-Proto": "gopher",
    "X-Forwarded-Host": "evil.example",
    "X-Forwarded-Port": "666",
    "X-Forwarded-Prefix": "/evil",
}
ONLY_WEB = {"web": {"replicas": 1}, "workers": [], "observer": {"enabled": False}, "tests": {"enabled": False}}

_SET_ALL: hops.Rules = {
    "X-Forwarded-For": ("set", "peer"),
    "X-Forwarded-Proto": ("set", "https"),
    "X-Forwarded-Host": ("set", "shop.example.test"),
    "X-Forwarded-Port": ("set", "443"),
}
# What each hop does, the outermost first: docs/proxies.md has the sources.
TOPOLOGIES: dict[str, list[hops.Rules]] = {
    "none": [],
    "ingress-nginx": [_SET_ALL],
    "ingress-nginx-behind-lb": [
        {
            "X-Forwarded-For": ("append", "peer"),
            "X-Forwarded-Proto": ("set", "https"),
            "X-Forwarded-Host": ("set", "shop.example.test"),
        },
        {
            "X-Forwarded-For": ("append", "peer"),
            "X-Forwarded-Proto": ("keep", "http"),
            "X-Forwarded-Host": ("keep", "shop.example.test"),
        },
    ],
    "traefik": [_SET_ALL],
    "alb": [
        {
            "X-Forwarded-For": ("append", "peer"),
            "X-Forwarded-Proto": ("set", "https"),
            "X-Forwarded-Port": ("set", "443"),
        }
    ],
    "gke": [{"X-Forwarded-For": ("append", "peer, 35.191.0.1"), "X-Forwarded-Proto": ("set", "https")}],
    "istio": [{"X-Forwarded-For": ("append", "peer"), "X-Forwarded-Proto": ("set", "https")}],
    "cloudflare": [
        {"X-Forwarded-For": ("append", "peer"), "X-Forwarded-Proto": ("set", "https")},
        {"X-Forwarded-For": ("append", "peer"), "X-Forwarded-Proto": ("keep", "http")},
    ],
}


@pytest.fixture(scope="module")
def release(shared_namespace: Namespace) -> Release:
    """Install web alone, and a client and the hops in front of it, once for this file."""
    release = Release(shared_namespace, "shop")
    release.install({**ONLY_WEB, "proxy": {"topology": "none"}}, "--wait", "--timeout", "150s")
    hops.start_pod(shared_namespace, "client", CLIENT)
    return release


@pytest.mark.parametrize("topology", TOPOLOGIES)
def test_client_is_seen_and_spoofing_loses(release: Release, topology: str) -> None:
    """Through the hops of a topology the application sees the client's address and scheme, whatever it claims."""
    release.upgrade({**ONLY_WEB, "proxy": {"topology": topology}}, "--wait", "--timeout", "150s")
    target = f"{release.service()}:80"
    for number, rules in enumerate(reversed(TOPOLOGIES[topology])):
        target = hops.start_hop(release.namespace, f"{topology}-{number}", target, rules)
    client = release.namespace.kubectl("get", "pod", "client", "--output", "jsonpath={.status.podIP}")
    honest = _ask(release, target, {})
    spoofed = _ask(release, target, SPOOFED)
    print(f"e2e topology {topology}: {spoofed}")
    assert spoofed == honest
    assert honest["remote_address"] == client
    assert honest["scheme"] == ("https" if TOPOLOGIES[topology] else "http")
    assert honest["host"].split(":")[0] == "shop.example.test"
    assert honest["prefix"] == ""


def _ask(release: Release, target: str, headers: dict[str, str]) -> dict[str, Any]:
    return hops.ask(release.namespace, "client", f"http://{target}/whoami", {"Host": "shop.example.test", **headers})
