"""What an object names exists: in the release, or because the values name it."""

from __future__ import annotations

import json

from tests.chart import helm
from tests.chart.helm import containers, name

# The API server makes one in every namespace.
GIVEN = {"ServiceAccount": {"default"}}
SELECTED = ("Deployment", "Pod", "Job")


def strings(node):
    """Yield every string of a tree."""
    if isinstance(node, str):
        yield node
    for child in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from strings(child)


def named(objects, case, kind):
    """Return the names of a kind that may be used."""
    own = {each["metadata"]["name"] for each in objects.of(kind)}
    return own | GIVEN.get(kind, set()) | set(strings(case))


def references(pod):
    """Yield kind and name of all that a pod needs to start."""
    spec = pod["spec"]
    yield "ServiceAccount", spec.get("serviceAccountName", "default")
    for volume in spec.get("volumes", []):
        for key, kind, field in VOLUMES:
            if key in volume:
                yield kind, volume[key][field]
    for container in containers(pod):
        for variable in container.get("env", []):
            source = variable.get("valueFrom", {})
            yield from [(kind, source[key]["name"]) for key, kind in VARIABLES if key in source]
        for source in container.get("envFrom", []):
            yield from [(kind, source[key]["name"]) for key, kind in SOURCES if key in source]


VOLUMES = (
    ("secret", "Secret", "secretName"),
    ("configMap", "ConfigMap", "name"),
    ("persistentVolumeClaim", "PersistentVolumeClaim", "claimName"),
)
VARIABLES = (("secretKeyRef", "Secret"), ("configMapKeyRef", "ConfigMap"))
SOURCES = (("secretRef", "Secret"), ("configMapRef", "ConfigMap"))


def pods_for(objects, labels):
    """Return the pods that have all these labels."""
    pods = [pod for _, pod in objects.pods()]
    return [pod for pod in pods if labels.items() <= pod["metadata"].get("labels", {}).items()]


def test_pods_find_what_they_need(objects, case):
    """Secrets, ConfigMaps, claims and ServiceAccounts are there."""
    wanted = [(owner, kind, target) for owner, pod in objects.pods() for kind, target in references(pod)]
    assert [want for want in wanted if want[2] not in named(objects, case, want[1])] == []


def test_keys_of_secrets_exist(objects):
    """A key that a container reads from a Secret of the release is one that the Secret has."""
    keys = {
        each["metadata"]["name"]: each.get("data", {}) | each.get("stringData", {}) for each in objects.of("Secret")
    }
    read = [
        variable["valueFrom"]["secretKeyRef"]
        for _, pod in objects.pods()
        for container in containers(pod)
        for variable in container.get("env", [])
        if "secretKeyRef" in variable.get("valueFrom", {})
    ]
    assert [ref for ref in read if ref["name"] in keys and ref["key"] not in keys[ref["name"]]] == []


def test_mounts_have_volumes(objects):
    """A mount has its volume, and each volume is mounted somewhere."""
    for owner, pod in objects.pods():
        volumes = {volume["name"] for volume in pod["spec"].get("volumes", [])}
        mounted = {mount["name"] for each in containers(pod) for mount in each.get("volumeMounts", [])}
        assert mounted == volumes, owner


def test_services_match_pods(objects):
    """A Service's selector has pods, and its port is one that they name."""
    for service in objects.of("Service"):
        pods = pods_for(objects, service["spec"]["selector"])
        assert pods, name(service)
        for pod in pods:
            ports = {port.get("name") for each in containers(pod) for port in each.get("ports", [])}
            assert {port["targetPort"] for port in service["spec"]["ports"]} <= ports, name(service)


def test_selectors_match_their_own_pods(objects):
    """A Deployment selects the pods that it makes, and nobody else's."""
    for each in objects.of("Deployment"):
        wanted = each["spec"]["selector"]["matchLabels"]
        assert pods_for(objects, wanted) == [each["spec"]["template"]], name(each)


def test_budgets_and_policies_match_pods(objects):
    """PodDisruptionBudgets, NetworkPolicies and PodMonitors select pods of the release."""
    for kind, key in (
        ("PodDisruptionBudget", "selector"),
        ("NetworkPolicy", "podSelector"),
        ("PodMonitor", "selector"),
    ):
        for each in objects.of(kind):
            selector = each["spec"][key]
            matched = [
                pod
                for pod in pods_for(objects, selector.get("matchLabels", {}))
                if all(fits(pod, expression) for expression in selector.get("matchExpressions", []))
            ]
            assert matched, f"{name(each)} selects {json.dumps(selector)}"


def fits(pod, expression):
    """Say whether a pod fits a label expression."""
    value = pod["metadata"]["labels"].get(expression["key"])
    operators = {
        "In": lambda: value in expression["values"],
        "NotIn": lambda: value not in expression["values"],
        "Exists": lambda: value is not None,
        "DoesNotExist": lambda: value is None,
    }
    return operators[expression["operator"]]()


def test_autoscalers_have_targets(objects):
    """A HorizontalPodAutoscaler or ScaledObject scales a Deployment of the release."""
    deployments = {each["metadata"]["name"] for each in objects.of("Deployment")}
    for each in objects.of("HorizontalPodAutoscaler") + objects.of("ScaledObject"):
        assert each["spec"]["scaleTargetRef"]["name"] in deployments, name(each)


def test_triggers_have_their_authentication(objects):
    """A ScaledObject's TriggerAuthentication is in the release."""
    made = {each["metadata"]["name"] for each in objects.of("TriggerAuthentication")}
    triggers = [trigger for each in objects.of("ScaledObject") for trigger in each["spec"]["triggers"]]
    assert {ref["authenticationRef"]["name"] for ref in triggers if "authenticationRef" in ref} <= made


def backends(objects):
    """Yield Service name and port of each route."""
    for ingress in objects.of("Ingress"):
        for rule in ingress["spec"]["rules"]:
            for path in rule["http"]["paths"]:
                service = path["backend"]["service"]
                yield service["name"], service["port"].get("name") or service["port"]["number"]
    for route in objects.of("HTTPRoute"):
        for rule in route["spec"]["rules"]:
            yield from [(backend["name"], backend["port"]) for backend in rule.get("backendRefs", [])]


def test_routes_lead_to_a_service(objects):
    """An Ingress or HTTPRoute leads to a Service and a port of it."""
    ports = {
        (service["metadata"]["name"], port[key])
        for service in objects.of("Service")
        for port in service["spec"]["ports"]
        for key in ("name", "port")
    }
    assert set(backends(objects)) <= ports


def test_roles_are_bound(objects):
    """A RoleBinding binds a Role of the release to a ServiceAccount that a pod uses."""
    accounts = {pod["spec"].get("serviceAccountName") for _, pod in objects.pods()}
    roles = {each["metadata"]["name"] for each in objects.of("Role")}
    for binding in objects.of("RoleBinding"):
        assert binding["roleRef"]["name"] in roles
        assert {subject["name"] for subject in binding["subjects"]} <= accounts
        assert {subject["namespace"] for subject in binding["subjects"]} == {helm.NAMESPACE}
