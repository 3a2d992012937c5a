"""kubectl and helm as a person uses them: commands, with what they print when they fail."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.servers import wait_for
from tests.servers.process import free_port

CHART = Path(__file__).parents[2] / "chart"
COMMAND_SECONDS = 400


class CommandError(AssertionError):
    """A command ended with another status than 0; the message has what it printed."""


def run(*command: str, given: str | None = None, timeout: float = COMMAND_SECONDS) -> str:
    """Run a command and return what it printed.

    Raises:
        CommandError: it failed.
    """
    done = subprocess.run(command, input=given, capture_output=True, text=True, timeout=timeout, check=False)
    if done.returncode:
        raise CommandError(
            f"{' '.join(command)}: status {done.returncode}\n{done.stdout[-6000:]}\n{done.stderr[-6000:]}"
        )
    return done.stdout


@dataclass(frozen=True)
class Namespace:
    """A namespace of the tests' own, in which Pod Security `restricted` is enforced."""

    name: str

    def kubectl(self, *arguments: str, given: str | None = None, timeout: float = COMMAND_SECONDS) -> str:
        """Run kubectl in this namespace."""
        return run("kubectl", "--namespace", self.name, *arguments, given=given, timeout=timeout)

    def get(self, kind: str, *arguments: str) -> list[dict[str, Any]]:
        """Return the objects of a kind, such as `pods` or `pods -l a=b`."""
        items: list[dict[str, Any]] = json.loads(self.kubectl("get", kind, *arguments, "--output", "json"))["items"]
        return items

    def apply(self, *objects: dict[str, Any]) -> None:
        """Apply objects."""
        self.kubectl("apply", "--filename", "-", given=yaml.safe_dump_all(objects))

    def python(self, pod: str, program: str, *arguments: str, container: str | None = None) -> str:
        """Run a Python program in a pod's container and return what it printed."""
        where = ("--container", container) if container else ()
        return self.kubectl("exec", pod, *where, "--", "python", "-c", program, *arguments)

    @contextmanager
    def forward(self, target: str, port: int | str) -> Iterator[str]:
        """Give a URL on the loopback interface that leads to a pod's or a Service's port."""
        local = free_port()
        command = ["kubectl", "--namespace", self.name, "port-forward", target, f"{local}:{port}"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
            try:
                assert process.stdout is not None
                line = process.stdout.readline()
                assert line.startswith("Forwarding"), f"{' '.join(command)}: {line}{process.stdout.read()}"
                yield f"http://127.0.0.1:{local}"
            finally:
                process.terminate()


@dataclass(frozen=True)
class Release:
    """A release of the chart, through one of the helm binaries."""

    namespace: Namespace
    name: str
    helm: str = "helm"

    def run(self, *arguments: str, given: str | None = None) -> str:
        """Run helm in the release's namespace."""
        return run(self.helm, *arguments, "--namespace", self.namespace.name, given=given)

    def install(self, values: dict[str, Any], *flags: str) -> str:
        """Install the chart and return its notes."""
        return self._deploy("install", values, *flags)

    def upgrade(self, values: dict[str, Any], *flags: str) -> str:
        """Upgrade the release with these values alone and return the notes."""
        return self._deploy("upgrade", values, *flags)

    def _deploy(self, verb: str, values: dict[str, Any], *flags: str) -> str:
        return self.run(
            verb, self.name, str(CHART), "--values", "-", *flags, given=yaml.safe_dump(merge(defaults(), values))
        )

    def uninstall(self) -> None:
        """Remove the release and wait until its pods are gone."""
        self.run("uninstall", self.name, "--wait")
        selector = f"app.kubernetes.io/instance={self.name}"
        wait_for(
            lambda: not self.namespace.get("pods", "--selector", selector),
            timeout=120,
            what=f"the end of the pods of {self.name}",
            interval=1,
        )

    def pods(self, *components: str) -> list[dict[str, Any]]:
        """Return the pods of the release, or of some of its components, that have not been told to end."""
        selector = f"app.kubernetes.io/instance={self.name}"
        if components:
            selector += f",app.kubernetes.io/component in ({','.join(components)})"
        pods = self.namespace.get("pods", "--selector", selector)
        return [pod for pod in pods if "deletionTimestamp" not in pod["metadata"]]

    def pod(self, component: str) -> str:
        """Return the name of one ready pod of a component."""
        ready = [pod["metadata"]["name"] for pod in self.pods(component) if is_ready(pod)]
        assert ready, f"no pod of {component} is ready: {[pod['metadata']['name'] for pod in self.pods(component)]}"
        return str(ready[0])

    def service(self, component: str = "web") -> str:
        """Return the name of a component's Service."""
        services = self.namespace.get(
            "services", "--selector", f"app.kubernetes.io/instance={self.name},app.kubernetes.io/component={component}"
        )
        return str(services[0]["metadata"]["name"])


def is_ready(pod: dict[str, Any]) -> bool:
    """Say whether a pod counts as ready."""
    conditions = pod["status"].get("conditions", [])
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


def image() -> dict[str, str]:
    """Split ULLAGE_E2E_IMAGE into the chart's keys."""
    registry, _, rest = os.environ["ULLAGE_E2E_IMAGE"].partition("/")
    repository, _, tag = rest.rpartition(":")
    return {"registry": registry, "repository": repository, "tag": tag}


def defaults() -> dict[str, Any]:
    """Return what every release of these tests has: the image under test, evaluation databases, the cluster's class."""
    return {
        "image": image(),
        "exporter": {"image": image()},
        "evaluation": {"enabled": True},
        "database": {"maxConnections": 151},
        "proxy": {"topology": os.environ.get("ULLAGE_E2E_TOPOLOGY", "traefik")},
        "app": {"faults": True},
        "web": {"resources": {"requests": {"cpu": "20m"}}},
    }


def merge(under: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """Return `under` with what `over` says otherwise, at any depth."""
    merged = dict(under)
    for key, value in over.items():
        below = merged.get(key)
        merged[key] = merge(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return merged


def ingress_url() -> str:
    """Return where the cluster's ingress controller answers HTTP."""
    return os.environ.get("ULLAGE_E2E_INGRESS", "http://127.0.0.1:8080")


def elapsed_since(start: float) -> str:
    """Say how long something took, for the test's report."""
    return f"{time.monotonic() - start:.0f} s"
