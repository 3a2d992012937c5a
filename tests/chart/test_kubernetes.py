"""Every object is one that Kubernetes accepts, on the oldest supported version and on the newest."""

from __future__ import annotations

import functools
import json
from importlib import resources
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml
from referencing import Registry, Resource

from tests.chart import helm

VERSIONS = (
    yaml.safe_load((helm.CHART / "Chart.yaml").read_text())["kubeVersion"].removeprefix(">=").removesuffix(".0-0"),
    kubernetes_validate.latest_version().rpartition(".")[0],
)
# Kinds that no schema here knows: apiVersion, and the keys of spec that the chart may write.
CUSTOM = {
    "PodMonitor": (
        "monitoring.coreos.com/v1",
        {"selector", "namespaceSelector", "podMetricsEndpoints", "jobLabel", "podTargetLabels"},
    ),
    "PrometheusRule": ("monitoring.coreos.com/v1", {"groups"}),
    "HTTPRoute": ("gateway.networking.k8s.io/v1", {"parentRefs", "hostnames", "rules"}),
    "ScaledObject": (
        "keda.sh/v1alpha1",
        {
            "scaleTargetRef",
            "pollingInterval",
            "cooldownPeriod",
            "minReplicaCount",
            "maxReplicaCount",
            "advanced",
            "triggers",
        },
    ),
    "TriggerAuthentication": ("keda.sh/v1alpha1", {"secretTargetRef"}),
    "Middleware": ("traefik.io/v1alpha1", {"redirectScheme", "stripPrefix"}),
}
TOPOLOGIES = ("ingress-nginx", "ingress-nginx-behind-lb", "traefik", "alb", "gke", "istio", "cloudflare")
EXTERNAL = {"database": {"host": "db.example.com"}, "redis": {"host": "redis.example.com"}}


@functools.cache
def registry(version: str) -> Registry:
    """Return the definitions of a version; kubernetes_validate itself reads them anew for each object."""
    definitions = json.loads((folder(version) / "_definitions.json").read_text())
    return Resource.from_contents(definitions) @ Registry()


@functools.cache
def validator(version: str, kind: str, api_version: str) -> jsonschema.Draft202012Validator:
    """Return the strict validator of a kind."""
    group, _, rest = api_version.rpartition("/")
    name = f"{kind}-{group.split('.')[0]}-{rest}".lower() if group else f"{kind}-{rest}".lower()
    schema = json.loads((folder(version) / f"{name}.json").read_text())
    return jsonschema.Draft202012Validator(schema, registry=Resource.from_contents(schema) @ registry(version))


def folder(version: str) -> Any:
    """Return where the schemas of a version are."""
    schemas = resources.files("kubernetes_validate") / "kubernetes-json-schema"
    return next(
        child
        for child in schemas.iterdir()
        if child.name.startswith(f"v{version}.") and child.name.endswith("-local-strict")
    )


def problems(manifest: helm.Manifest, version: str) -> list[str]:
    """Return what is wrong with an object."""
    if manifest["kind"] in CUSTOM:
        api_version, keys = CUSTOM[manifest["kind"]]
        wrong = sorted(manifest["spec"].keys() - keys)
        return wrong + ([] if manifest["apiVersion"] == api_version else [manifest["apiVersion"]])
    found = validator(version, manifest["kind"], manifest["apiVersion"]).iter_errors(manifest)
    return [f"{error.json_path}: {error.message}" for error in found]


@pytest.mark.parametrize("version", VERSIONS)
def test_each_object_is_valid(objects, version):
    """Strictly: no unknown key, no wrong type."""
    assert {helm.name(each): found for each in objects if (found := problems(each, version))} == {}


@pytest.mark.parametrize("topology", TOPOLOGIES)
def test_each_topology_has_a_valid_ingress(topology):
    """With the annotations and helpers of each ingress controller."""
    objects = helm.render({**EXTERNAL, "proxy": {"topology": topology}, "ingress": {"enabled": True}})
    assert objects.of("Ingress")
    assert {helm.name(each): found for each in objects if (found := problems(each, VERSIONS[1]))} == {}


def test_the_check_sees_an_unknown_key():
    """The schemas are the strict ones."""
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a"}, "spec": {"port": []}}
    assert problems(service, VERSIONS[0])
