"""Both Helm versions, both ways to apply, and names at their limits."""

from __future__ import annotations

import os
import shutil

import pytest
import yaml

from tests.e2e.cluster import CHART, Namespace, Release, defaults, run

SMALL = {
    "web": {"replicas": 1},
    "observer": {"enabled": False},
}


def test_every_object_passes_the_server(namespace: Namespace) -> None:
    """Every object of a default install passes `kubectl apply --dry-run=server` where `restricted` is enforced."""
    given = yaml.safe_dump(defaults())
    manifest = run("helm", "template", "shop", str(CHART), "--values", "-", "--namespace", namespace.name, given=given)
    objects = [one for one in yaml.safe_load_all(manifest) if one]
    # A dry run makes nothing, and a pod is refused without its ServiceAccount.
    namespace.apply(*(one for one in objects if one["kind"] == "ServiceAccount"))
    lines = namespace.kubectl("apply", "--dry-run=server", "--filename", "-", given=manifest).splitlines()
    print("\n".join(lines))
    assert len(lines) == len(objects)
    assert all(line.endswith("(server dry run)") for line in lines)


@pytest.mark.parametrize(
    ("helm", "flags"),
    [
        pytest.param("helm3", (), id="Helm 3"),
        pytest.param("helm", ("--server-side=false",), id="Helm 4, client-side apply"),
        pytest.param("helm", ("--server-side=true",), id="Helm 4, server-side apply"),
    ],
)
def test_install_and_upgrade(namespace: Namespace, helm: str, flags: tuple[str, ...]) -> None:
    """Helm 3 and Helm 4, with server-side and client-side apply, install and then upgrade the chart."""
    if not shutil.which(helm):
        message = f"{helm} is not on PATH"
        pytest.fail(message) if os.environ.get("CI") == "true" else pytest.skip(message)
    release = Release(namespace, "shop", helm)
    release.install(SMALL, "--wait", "--timeout", "150s", *flags)
    release.upgrade({**SMALL, "commonLabels": {"team": "shop"}}, "--wait", "--timeout", "150s", *flags)
    assert {pod["metadata"]["labels"]["team"] for pod in release.pods("web")} == {"shop"}
    assert "STATUS: deployed" in release.run("status", release.name)


def test_two_releases_and_a_long_name(namespace: Namespace) -> None:
    """Two releases live in one namespace, one of them with a name of 53 characters, and see only their own pods."""
    releases = [Release(namespace, "shop"), Release(namespace, f"a{'-long-name' * 5}-5")]
    for release in releases:
        assert len(release.name) in (4, 53)
        release.install(SMALL, "--wait", "--timeout", "150s")
    for release in releases:
        printed = release.run("test", release.name, "--timeout", "180s")
        assert "Failed" not in printed
    for release in releases:
        endpoints = namespace.get("endpointslices", "--selector", f"kubernetes.io/service-name={release.service()}")
        addresses = {address for one in endpoints for entry in one["endpoints"] for address in entry["addresses"]}
        assert addresses == {pod["status"]["podIP"] for pod in release.pods("web")}
