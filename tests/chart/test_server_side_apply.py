"""Server-side apply, the default of Helm 4: one owner a field, and no key twice in a list that has keys."""

from __future__ import annotations

import pytest
import yaml

from tests.chart import helm
from tests.chart.helm import component_of, containers, name

# The keys by which the API server merges lists; an item given twice is an error.
LIST_KEYS = {
    "env": ("name",),
    "volumes": ("name",),
    "volumeMounts": ("mountPath",),
    "containers": ("name",),
    "initContainers": ("name",),
    "ports": ("containerPort", "port", "protocol"),
    "imagePullSecrets": ("name",),
    "topologySpreadConstraints": ("topologyKey", "whenUnsatisfiable"),
}
MINIMAL = {"database": {"host": "db"}, "redis": {"host": "redis"}}


def keyed_lists(node, path=""):
    """Yield path and keys of each list that is merged by key."""
    children = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, child in children:
        if key in LIST_KEYS and isinstance(child, list):
            yield f"{path}.{key}", [tuple(item.get(field) for field in LIST_KEYS[key]) for item in child]
        yield from keyed_lists(child, f"{path}.{key}")


def test_no_list_has_a_key_twice(objects):
    """Variables, volumes, mounts, ports and containers are unique."""
    for each in objects:
        for path, keys in keyed_lists(each):
            assert len(keys) == len(set(keys)), f"{name(each)}{path}: {keys}"


def test_containers_of_a_pod_have_names_of_their_own(objects):
    """Init containers and containers share one space of names."""
    for owner, pod in objects.pods():
        names = [container["name"] for container in containers(pod)]
        assert len(names) == len(set(names)), owner


def test_an_autoscaler_owns_the_replicas(objects):
    """A Deployment with an autoscaler has no replicas, every other has."""
    scaled = {
        each["spec"]["scaleTargetRef"]["name"]
        for each in objects.of("HorizontalPodAutoscaler") + objects.of("ScaledObject")
    }
    for each in objects.of("Deployment"):
        assert ("replicas" in each["spec"]) == (each["metadata"]["name"] not in scaled), name(each)


def test_no_object_is_rendered_twice(objects):
    """Kind and name are unique in a release."""
    names = [(each["apiVersion"].partition("/")[0], name(each)) for each in objects]
    assert sorted(names) == sorted(set(names))


OTHER_URL = {"name": "DATABASE_URL", "value": "mysql+pymysql://$(DATABASE_HOST)/other"}
OWNED = {"app.kubernetes.io/name", "app.kubernetes.io/instance", "app.kubernetes.io/component"}
# A Deployment's selector cannot be changed: with another one, every installed release fails to upgrade.
SELECTORS = {"web": OWNED, "observer": OWNED, "worker": {*OWNED, "ullage.dev/worker"}}


class TestExtraEnv:
    @pytest.mark.parametrize("component", ["web", "worker"])
    def test_the_users_variable_wins(self, component):
        """A variable that the chart sets too is there once, with the user's value."""
        section = "web" if component == "web" else "workerDefaults"
        objects = helm.render({**MINIMAL, section: {"extraEnv": [OTHER_URL]}})
        [deployment] = objects.of("Deployment", component)
        [container] = deployment["spec"]["template"]["spec"]["containers"]
        assert [each for each in container["env"] if each["name"] == "DATABASE_URL"] == [OTHER_URL]


class TestSelectors:
    def test_they_have_these_labels_and_no_others(self, objects):
        """Selectors have the labels of the first release, whatever the values."""
        for each in objects.of("Deployment"):
            wanted = SELECTORS.get(component_of(each))
            if wanted:
                assert set(each["spec"]["selector"]["matchLabels"]) == wanted, name(each)

    def test_they_survive_an_upgrade_of_the_chart(self):
        """Another version of chart and image, and more labels, leave the selectors as they are."""
        before = helm.render(MINIMAL)
        after = helm.render(
            {**MINIMAL, "image": {"tag": "9"}, "commonLabels": {"team": "a"}, "web": {"podLabels": {"tier": "front"}}}
        )
        assert selectors(after) == selectors(before)

    def test_volatile_labels_are_not_in_them(self, objects):
        """Chart and application version are in no selector and no Service."""
        text = yaml.safe_dump([selectors(objects), [each["spec"]["selector"] for each in objects.of("Service")]])
        assert "helm.sh/chart" not in text
        assert "app.kubernetes.io/version" not in text


def selectors(objects):
    """Return each Deployment's selector."""
    return {name(each): each["spec"]["selector"] for each in objects.of("Deployment")}
