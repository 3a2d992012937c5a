"""A first installation, as README.md has it."""

from __future__ import annotations

import re
import time
from typing import Any

import httpx
import pytest

from tests.e2e.cluster import Namespace, Release, elapsed_since, ingress_url

HOST = "shop.example.test"
VALUES = {
    "ingress": {
        "enabled": True,
        "className": "traefik",
        "hosts": [{"host": HOST, "paths": [{"path": "/", "pathType": "Prefix"}]}],
    },
    "workers": [
        {"name": "default", "queues": ["default"]},
        {"name": "slow", "queues": ["slow", "low"], "policy": "observe"},
    ],
}


@pytest.fixture(scope="module")
def installed(shared_namespace: Namespace) -> tuple[Release, str]:
    """Install once for this file, and give the release and its notes."""
    release = Release(shared_namespace, "shop")
    start = time.monotonic()
    notes = release.install(VALUES, "--wait", "--timeout", "120s")
    print(f"e2e install: ready after {elapsed_since(start)}")
    return release, notes


def test_every_pod_is_ready_within_two_minutes(installed: tuple[Release, str]) -> None:
    """`helm install --wait` with evaluation databases and two worker sets returns within 120 s, all pods ready."""
    release, _ = installed
    components = sorted({pod["metadata"]["labels"]["app.kubernetes.io/component"] for pod in release.pods()})
    assert components == ["mariadb", "migration", "observer", "valkey", "web", "worker"]
    assert len(release.pods("worker")) == 2
    # Not the workers: RQ's gives up when Redis does not answer as it starts, and Kubernetes starts it again.
    statuses = [status for pod in release.pods("web", "observer") for status in pod["status"]["containerStatuses"]]
    assert not [status["name"] for status in statuses if status["restartCount"]]


def test_helm_test_passes(installed: tuple[Release, str]) -> None:
    """`helm test` passes: web, forwarded headers, a job through each worker set, and /metrics."""
    release, _ = installed
    printed = release.run("test", release.name, "--timeout", "180s", "--logs")
    print(printed)
    assert "Phase:          Succeeded" in printed
    assert "Failed" not in printed


def test_client_is_seen_through_the_ingress(installed: tuple[Release, str]) -> None:
    """A request through the ingress controller shows the client's address, scheme and host, whatever it claims."""
    honest = _whoami({})
    spoofed = _whoami({"X-Forwarded-For": "6.6.6.6", "X-Forwarded-Proto": "https", "X-Forwarded-Host": "evil.example"})
    assert spoofed == honest
    assert honest["host"] == HOST
    assert honest["scheme"] == "http"
    assert honest["remote_address"] not in ("127.0.0.1", "6.6.6.6")


def test_notes_have_the_budget_and_what_stays(installed: tuple[Release, str]) -> None:
    """The notes spell out the connection budget and warn of the evaluation databases."""
    _, notes = installed
    print(notes)
    assert re.search(r"web: .*= \d+", notes)
    assert "not for production" in notes.lower()


def test_no_token_is_mounted_but_in_the_observer(installed: tuple[Release, str]) -> None:
    """No pod has a ServiceAccount token but the observer's."""
    release, _ = installed
    with_token = {
        pod["metadata"]["labels"]["app.kubernetes.io/component"]
        for pod in release.pods()
        for volume in pod["spec"].get("volumes", [])
        if any("serviceAccountToken" in source for source in volume.get("projected", {}).get("sources", []))
    }
    assert with_token == {"observer"}


def test_metrics_of_web_and_workers(installed: tuple[Release, str]) -> None:
    """The sidecars of web and worker pods serve what their applications did."""
    release, _ = installed
    for component, metric in (("web", "flask_requests_total"), ("worker", "rq_jobs_total")):
        with release.namespace.forward(f"pod/{release.pod(component)}", "metrics") as url:
            page = httpx.get(f"{url}/metrics").text
        assert metric in page
        assert "ullage_up 1.0" in page


def _whoami(headers: dict[str, str]) -> dict[str, Any]:
    answer = httpx.get(f"{ingress_url()}/whoami", headers={"Host": HOST, **headers})
    assert answer.status_code == 200, answer.text
    seen: dict[str, Any] = answer.json()
    return seen
