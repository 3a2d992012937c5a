"""The cluster's Prometheus, asked through a port-forward of its own for each question."""

from __future__ import annotations

import os
from typing import Any

import httpx

from tests.e2e.cluster import Namespace

# Namespace and target of kubectl port-forward.
WHERE = os.environ.get("ULLAGE_E2E_PROMETHEUS", "monitoring/service/prometheus-operated:9090")


def query(expression: str) -> list[dict[str, Any]]:
    """Run an instant query and return its series."""
    found: list[dict[str, Any]] = _ask("/api/v1/query", {"query": expression})["result"]
    return found


def alerts(namespace: str, state: str = "firing") -> list[dict[str, Any]]:
    """Return the alerts about a namespace that are in a state."""
    return [
        one
        for one in _ask("/api/v1/alerts", {})["alerts"]
        if one["state"] == state and one["labels"].get("namespace") == namespace
    ]


def names(found: list[dict[str, Any]]) -> set[str]:
    """Return the names of alerts."""
    return {one["labels"]["alertname"] for one in found}


def _ask(path: str, parameters: dict[str, str]) -> dict[str, Any]:
    namespace, _, rest = WHERE.partition("/")
    target, _, port = rest.rpartition(":")
    with Namespace(namespace).forward(target, port) as url:
        answer = httpx.get(f"{url}{path}", params=parameters, timeout=30).json()
    assert answer["status"] == "success", answer
    data: dict[str, Any] = answer["data"]
    return data
