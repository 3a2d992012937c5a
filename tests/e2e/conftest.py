"""A namespace of its own for each test, and the release in it."""

from __future__ import annotations

import os
import shutil
import time
import uuid
from collections.abc import Generator, Iterator
from contextlib import contextmanager

import pytest

from tests.e2e.cluster import CommandError, Namespace, Release, run
from tests.e2e.watched import VALUES, Watched

NEEDED = ("KUBECONFIG", "ULLAGE_E2E_IMAGE")
RESTRICTED = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn")}


# Alerts take minutes to come and to go: what they are about is started first, and what waits for their end comes last.
FIRST, LAST = "test_prometheus_scrapes_the_release", ("test_alerts_clear", "test_operations_fire_what_they_should")
BEFORE_ALERTS = ("test_helm", "test_install")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let a test take as long as a rollout does, and put those that wait for time to pass around the others."""
    for item in items:
        if "e2e" in item.path.parts:
            item.add_marker(pytest.mark.timeout(4500 if os.environ.get("ULLAGE_PROMISES") == "full" else 900))
    items.sort(key=_rank)


def _rank(item: pytest.Item) -> int:
    if item.name == FIRST:
        return 0
    if item.name in LAST:
        return 4
    if item.path.stem in BEFORE_ALERTS:
        return 1
    return 2 if item.path.stem == "test_alerts" else 3


@pytest.fixture(scope="session", autouse=True)
def cluster() -> None:
    """Skip without a cluster, as a person's machine may have none, and fail without one in CI."""
    lacking = [f"{name} is not set" for name in NEEDED if not os.environ.get(name)]
    lacking += [f"{program} is not on PATH" for program in ("kubectl", "helm") if not shutil.which(program)]
    if not lacking:
        run("kubectl", "version", timeout=30)
        return
    message = f"{'; '.join(lacking)}: see CONTRIBUTING.md, 'The tests on a cluster'"
    if os.environ.get("CI") == "true":
        pytest.fail(message)
    pytest.skip(message)


@pytest.fixture
def namespace() -> Iterator[Namespace]:
    """Give a new namespace that enforces Pod Security `restricted`, and remove it with everything in it."""
    with new_namespace() as made:
        yield made


@pytest.fixture(scope="module")
def shared_namespace() -> Iterator[Namespace]:
    """Give a namespace that the tests of a file share."""
    with new_namespace() as made:
        yield made


@pytest.fixture(scope="session")
def watched() -> Iterator[Watched]:
    """Install the release whose alerts are looked at, and remove it at the very end."""
    with new_namespace() as namespace:
        release = Release(namespace, "watched")
        release.install(VALUES, "--wait", "--timeout", "150s")
        yield Watched(release, time.monotonic())


@pytest.fixture
def release(namespace: Namespace) -> Release:
    """Give a release that is not installed yet."""
    return Release(namespace, "shop")


@contextmanager
def new_namespace() -> Iterator[Namespace]:
    """Make a namespace, and remove it at the end."""
    namespace = Namespace(f"e2e-{uuid.uuid4().hex[:8]}")
    run("kubectl", "create", "namespace", namespace.name)
    run("kubectl", "label", "namespace", namespace.name, *(f"{key}={value}" for key, value in RESTRICTED.items()))
    try:
        yield namespace
    finally:
        run("kubectl", "delete", "namespace", namespace.name, "--wait=false")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Tell what the pods were about when a test failed, before they are removed."""
    report = yield
    if report.failed and report.when in ("setup", "call"):
        found = {value.name: value for value in getattr(item, "funcargs", {}).values() if isinstance(value, Namespace)}
        for namespace in found.values():
            report.sections.append((f"namespace {namespace.name}", describe(namespace)))
    return report


def describe(namespace: Namespace) -> str:
    """Return what explains a failure: objects, Events and the ends of logs."""
    parts = [_try(namespace, "get", "all"), _try(namespace, "get", "events", "--sort-by=.lastTimestamp")]
    for pod in namespace.get("pods"):
        name = pod["metadata"]["name"]
        parts.append(f"--- {name}\n{_try(namespace, 'logs', name, '--all-containers', '--prefix', '--tail=25')}")
        for status in pod["status"].get("containerStatuses", []):
            if status["restartCount"]:
                before = _try(namespace, "logs", name, "--container", status["name"], "--previous", "--tail=25")
                parts.append(f"--- {name}, {status['name']} before its restart\n{before}")
    return "\n".join(parts)


def _try(namespace: Namespace, *arguments: str) -> str:
    try:
        return namespace.kubectl(*arguments)
    except CommandError as error:
        return str(error)
