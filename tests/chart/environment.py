"""The environment that a container starts with, as the kubelet makes it."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from typing import Any

from tests.chart.helm import Manifest, Objects, containers

Secrets = Mapping[str, Mapping[str, str]]


def merged(*values: dict[str, Any]) -> dict[str, Any]:
    """Merge values as Helm does; the later win."""
    result: dict[str, Any] = {}
    for value in values:
        for key, inner in value.items():
            both_maps = isinstance(inner, dict) and isinstance(result.get(key), dict)
            result[key] = merged(result[key], inner) if both_maps else inner
    return result


def container_of(objects: Objects, kind: str, component: str, name: str) -> Manifest:
    """Return a container of the only object of a kind and component."""
    (pod,) = [manifest["spec"]["template"] for manifest in objects.of(kind, component)]
    (found,) = [container for container in containers(pod) if container["name"] == name]
    return found


def secrets_of(objects: Objects) -> dict[str, dict[str, str]]:
    """Return the contents of the Secrets that the chart makes."""
    return {
        secret["metadata"]["name"]: {key: base64.b64decode(value).decode() for key, value in secret["data"].items()}
        for secret in objects.of("Secret")
    }


def resolve(container: Manifest, secrets: Secrets) -> dict[str, str]:
    """Return the variables with their values; $(NAME) is one that came before, or stays as it is."""
    environment: dict[str, str] = {}
    for variable in container["env"]:
        environment[variable["name"]] = _value(variable, secrets, environment)
    return environment


def _value(variable: dict[str, Any], secrets: Secrets, environment: Mapping[str, str]) -> str:
    if "valueFrom" in variable:
        reference = variable["valueFrom"]["secretKeyRef"]
        return secrets[reference["name"]][reference["key"]]
    return re.sub(r"\$\((\w+)\)", lambda found: environment.get(found[1], found[0]), variable.get("value", ""))
