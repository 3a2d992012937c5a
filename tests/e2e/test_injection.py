"""Injection on a cluster: an image that knows nothing of ullage, by the recipe of docs/injection.md and by chart."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.e2e import traffic
from tests.e2e.cluster import Namespace, Release, image, run
from tests.servers import wait_for

RECIPE = Path(__file__).parents[2] / "docs" / "injection.md"
COMMAND = ["gunicorn", "--bind=0.0.0.0:8000", "--worker-tmp-dir=/dev/shm", "shop:create_app()"]
ASK = "import urllib.request, sys; print(urllib.request.urlopen('http://127.0.0.1:8000' + sys.argv[1]).read().decode())"


@pytest.fixture(scope="module")
def foreign_image() -> str:
    """Give the image of tests/e2e/foreign."""
    found = os.environ.get("ULLAGE_E2E_FOREIGN_IMAGE")
    if not found:
        message = "ULLAGE_E2E_FOREIGN_IMAGE is not set: see CONTRIBUTING.md, 'The tests on a cluster'"
        pytest.fail(message) if os.environ.get("CI") == "true" else pytest.skip(message)
    return found


def test_recipe_observes_a_foreign_deployment(namespace: Namespace, foreign_image: str, tmp_path: Path) -> None:
    """The Kustomize patch of docs/injection.md observes a Deployment whose image and code know nothing of ullage."""
    recipe = re.search(r"```yaml\n(# kustomization.yaml\n.*?)```", RECIPE.read_text(), re.DOTALL)
    assert recipe
    ours = "{registry}/{repository}:{tag}".format(**image())
    (tmp_path / "kustomization.yaml").write_text(recipe[1].replace("docker.io/ullage/ullage:0.1.0", ours))
    (tmp_path / "deployment.yaml").write_text(yaml.safe_dump(_deployment(foreign_image)))
    # Neither the recipe nor the application is about Pod Security: the policy would ask both for a security context.
    run("kubectl", "label", "--overwrite", "namespace", namespace.name, "pod-security.kubernetes.io/enforce=baseline")
    namespace.kubectl("apply", "--kustomize", str(tmp_path))
    namespace.kubectl("rollout", "status", "deployment/shop", "--timeout=90s")
    pod = str(namespace.get("pods")[0]["metadata"]["name"])
    assert namespace.python(pod, ASK, "/", container="anything").strip() == "42"
    assert namespace.python(pod, ASK, "/keep", container="anything").strip() == "kept"
    page = _metrics(namespace, f"pod/{pod}")
    assert 'flask_requests_total{method="GET",role="web",route="/",status="200"} 1.0' in page
    assert re.search(
        r'sqlalchemy_unreleased_sessions_total\{.*function="/keep".*site="(?:shop/)?shop.py:\d+ [^"]*keep"', page
    )


def test_chart_observes_a_foreign_image(namespace: Namespace, foreign_image: str) -> None:
    """With inject.enabled the chart observes web and workers of an image that has no ullage, and names their leaks."""
    registry, _, rest = foreign_image.partition("/")
    repository, _, tag = rest.rpartition(":")
    release = Release(namespace, "shop")
    release.install(
        {
            "image": {"registry": registry, "repository": repository, "tag": tag},
            "web": {
                "command": COMMAND,
                "replicas": 1,
                "inject": {"enabled": True},
                "probes": {"livenessPath": "/", "readinessPath": "/"},
            },
            "workers": [
                {
                    "name": "default",
                    "queues": ["default"],
                    "command": ["rq", "worker", "default"],
                    "inject": {"enabled": True},
                }
            ],
            "migrations": {"enabled": False},
            "tests": {"path": "/"},
        },
        "--wait",
        "--timeout",
        "150s",
    )
    jobs = traffic.enqueue(release, "default", "tasks.forget", None)
    wait_for(lambda: set(traffic.statuses(release, jobs).values()) == {"finished"}, timeout=60, what="the job")
    release.namespace.python(release.pod("web"), ASK, "/keep", container="web")
    assert 'function="/keep"' in _metrics(namespace, f"pod/{release.pod('web')}")
    worker = _metrics(namespace, f"pod/{release.pod('worker')}")
    assert re.search(
        r'rq_jobs_total\{function="tasks.forget",outcome="finished",queue="default",role="worker"\} 1', worker
    )
    assert re.search(
        r'unreleased_sessions_total\{.*function="tasks.forget".*site="(?:shop/)?tasks.py:\d+ forget"', worker
    )


def _deployment(foreign_image: str) -> dict[str, Any]:
    labels = {"app": "shop"}
    container = {"name": "anything", "image": foreign_image, "command": COMMAND, "ports": [{"containerPort": 8000}]}
    container["readinessProbe"] = {"tcpSocket": {"port": 8000}, "periodSeconds": 1}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "shop"},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
        },
    }


def _metrics(namespace: Namespace, pod: str) -> str:
    with namespace.forward(pod, "9145") as url:
        return httpx.get(f"{url}/metrics").text
