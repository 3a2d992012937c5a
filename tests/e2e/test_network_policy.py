"""Network policies: what must be reached is reached, and nothing else is."""

from __future__ import annotations

import pytest

from tests.e2e import hops, traffic
from tests.e2e.cluster import Namespace, Release
from tests.servers import wait_for

VALUES = {
    "networkPolicy": {
        "enabled": True,
        "ingressFrom": [{"podSelector": {"matchLabels": {"role": "ingress-controller"}}}],
        "metricsFrom": [{"podSelector": {"matchLabels": {"role": "prometheus"}}}],
    },
    "web": {"replicas": 1},
}
SLEEP = ["python", "-c", "import time; time.sleep(3600)"]
# 3 s: what a policy refuses is dropped, and a caller waits for it.
CONNECT = """
import socket, sys
for target in sys.argv[1:]:
    host, _, port = target.rpartition(":")
    try:
        socket.create_connection((host, int(port)), 3).close()
        print(target, "open")
    except OSError as error:
        print(target, "closed")
"""


@pytest.fixture(scope="module")
def release(shared_namespace: Namespace) -> Release:
    """Install once with policies, with a stray pod, an ingress controller and a Prometheus beside it."""
    release = Release(shared_namespace, "shop")
    release.install(VALUES, "--wait", "--timeout", "150s")
    for role in ("stray", "ingress-controller", "prometheus"):
        hops.start_pod(shared_namespace, role, SLEEP, {"role": role})
    hops.start_hop(shared_namespace, "elsewhere", "127.0.0.1:1", {})
    return release


def test_release_works_inside_its_policies(release: Release) -> None:
    """`helm test` passes and a job is done: DNS, database, Redis and the metrics ports are reached."""
    printed = release.run("test", release.name, "--timeout", "180s")
    assert "Failed" not in printed
    jobs = traffic.enqueue(release, "default", "app.tasks.hang", 0.1)
    wait_for(lambda: set(traffic.statuses(release, jobs).values()) == {"finished"}, timeout=60, what="the job")


def test_observer_reads_its_sources(release: Release) -> None:
    """The observer reaches Redis, the Kubernetes API and the sidecars."""
    page = _metrics_of(release, "observer")
    assert 'ullage_collector_success{collector="queues"} 1.0' in page
    wait_for(
        lambda: 'ullage_collector_success{collector="pods"} 1.0' in _metrics_of(release, "observer"),
        timeout=60,
        what="the observer's first look at the pods",
        interval=2,
    )


def test_stray_pod_reaches_no_pod(release: Release) -> None:
    """A pod that is not of the release reaches no port of any pod of it."""
    targets = _ports(release)
    assert len(targets) >= 6
    assert _open(release, "stray", targets) == set()


def test_controller_reaches_web_and_prometheus_reaches_metrics(release: Release) -> None:
    """The ingress controller reaches web's port alone, and Prometheus the metrics ports alone."""
    targets = _ports(release)
    web = {target for target in targets if target.endswith(":8000")}
    metrics = {target for target in targets if target.endswith(":9145")}
    assert _open(release, "ingress-controller", targets) == web
    assert _open(release, "prometheus", targets) == metrics


@pytest.mark.parametrize("component", ["web", "worker", "mariadb", "valkey"])
def test_release_reaches_nothing_else(release: Release, component: str) -> None:
    """A pod of the release reaches no pod outside of it, and not the Kubernetes API."""
    elsewhere = _address(release, "elsewhere")
    targets = [f"{elsewhere}:{hops.PORT}", "kubernetes.default.svc:443"]
    if component in ("mariadb", "valkey"):
        # These images have no Python: a shell's own way to connect.
        pod = release.pod(component)
        for target in targets:
            host, _, port = target.rpartition(":")
            program = f"timeout 3 bash -c '</dev/tcp/{host}/{port}' 2>/dev/null && echo open || echo closed"
            assert release.namespace.kubectl("exec", pod, "--", "bash", "-c", program).strip() == "closed", target
        return
    assert _open(release, release.pod(component), targets) == set()


def _open(release: Release, pod: str, targets: list[str]) -> set[str]:
    printed = release.namespace.python(pod, CONNECT, *targets)
    return {line.split()[0] for line in printed.splitlines() if line.endswith("open")}


def _ports(release: Release) -> list[str]:
    """List every port of every pod of the release, as address:port."""
    return sorted(
        f"{pod['status']['podIP']}:{port['containerPort']}"
        for pod in release.pods("web", "worker", "observer", "mariadb", "valkey")
        for container in (*pod["spec"]["containers"], *pod["spec"].get("initContainers", []))
        for port in container.get("ports", [])
    )


def _address(release: Release, pod: str) -> str:
    return release.namespace.kubectl("get", "pod", pod, "--output", "jsonpath={.status.podIP}")


def _metrics_of(release: Release, component: str) -> str:
    program = "import urllib.request; print(urllib.request.urlopen('http://127.0.0.1:9145/metrics').read().decode())"
    return release.namespace.python(release.pod(component), program)
