"""Names are valid and unique, however long the release's is and whatever else is in the namespace."""

from __future__ import annotations

import re

import pytest

from tests.chart import helm
from tests.chart.helm import containers, name

# Helm's limit.
LONGEST = "r" * 53
BASE = {
    "database": {"host": "db", "password": "a"},
    "redis": {"host": "redis", "password": "a"},
    "workers": [{"name": "a-worker-set-of-thirty-letters"}, {"name": "mail"}],
    "ingress": {"enabled": True},
    "networkPolicy": {"enabled": True},
    "monitoring": {kind: {"enabled": True} for kind in ("podMonitor", "rules", "dashboards")},
}
LABEL = re.compile(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?")
SUBDOMAIN = re.compile(r"(?=.{1,253}$)[a-z0-9]([-a-z0-9.]*[a-z0-9])?")
LABEL_VALUE = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")
# Kinds whose names become DNS labels, or labels of what they make.
SHORT = {"Service", "Deployment", "Job", "Pod", "HorizontalPodAutoscaler", "ScaledObject"}


def identities(objects):
    """Return kind and name of each object."""
    return {name(each) for each in objects}


@pytest.mark.parametrize(
    ("release", "values"),
    [
        ("shop", {}),
        (LONGEST, {}),
        (LONGEST, {"nameOverride": "n" * 63}),
        ("shop", {"fullnameOverride": "f" * 63}),
        ("shop", {"fullnameOverride": "ends-with-a-dash-where-it-is-cut-off-0123456789-0123456789-0-23"}),
        ("shop", {"image": {"tag": "t" * 128}}),
        ("shop", {"image": {"tag": "2026.11-rc.1_build"}}),
    ],
    ids=["short", "long release", "long chart name", "long full name", "cut at a dash", "long tag", "odd tag"],
)
class TestLongNames:
    def test_names_are_valid(self, release, values):
        """Every name is one that the API server accepts, with room for what controllers append to it."""
        for each in helm.render({**BASE, **values}, release=release):
            pattern = LABEL if each["kind"] in SHORT else SUBDOMAIN
            assert pattern.fullmatch(each["metadata"]["name"]), name(each)

    def test_labels_are_valid(self, release, values):
        """Every label, of objects, pods and selectors, has a value of at most 63 characters."""
        objects = helm.render({**BASE, **values}, release=release)
        owners = [each["metadata"] for each in objects] + [pod["metadata"] for _, pod in objects.pods()]
        labels = [value for owner in owners for value in owner.get("labels", {}).values()]
        assert [value for value in labels if not LABEL_VALUE.fullmatch(value)] == []

    def test_names_are_unique(self, release, values):
        """No two objects of a release have one name, though names are cut."""
        objects = helm.render({**BASE, **values}, release=release)
        assert len(identities(objects)) == len(objects)

    def test_containers_have_valid_names(self, release, values):
        """A container's name is a DNS label, a port's has 15 characters at most."""
        for owner, pod in helm.render({**BASE, **values}, release=release).pods():
            for container in containers(pod):
                assert LABEL.fullmatch(container["name"]), owner
                assert all(len(port["name"]) <= 15 for port in container.get("ports", [])), owner


class TestTwoReleases:
    @pytest.mark.parametrize(
        ("one", "other"),
        [
            ("shop", "store"),
            (LONGEST[:-1] + "a", LONGEST[:-1] + "b"),
            ("shop", "shop-web"),
            ("ullage", "ullage-ullage"),
        ],
    )
    def test_they_share_no_object(self, one, other):
        """Two releases in one namespace never have an object of the same kind and name."""
        first, second = (identities(helm.render(BASE, release=release)) for release in (one, other))
        assert first & second == set()

    def test_they_share_no_pod(self):
        """No selector of a release matches a pod of another, even one that differs in its last letter."""
        first, second = (helm.render(BASE, release=LONGEST[:-1] + letter) for letter in "ab")
        selectors = [each["spec"]["selector"]["matchLabels"] for each in first.of("Deployment")]
        for _, pod in second.pods():
            assert not any(labels.items() <= pod["metadata"]["labels"].items() for labels in selectors)

    def test_worker_sets_that_differ_in_the_end_do_too(self):
        """Two worker sets whose names differ in the last letter have two Deployments, in the longest release too."""
        values = {**BASE, "workers": [{"name": "a-worker-set-of-thirty-lette-" + letter} for letter in "ab"]}
        assert len(helm.render(values, release=LONGEST).of("Deployment", "worker")) == 2


class TestOverrides:
    def test_a_release_with_the_charts_name_has_it_once(self):
        """Release `ullage` has the Deployment ullage-web."""
        assert "Deployment/ullage-web" in identities(helm.render(BASE, release="ullage"))

    def test_fullname_override_is_the_prefix(self):
        """fullnameOverride is what every name begins with."""
        objects = helm.render({**BASE, "fullnameOverride": "store"})
        assert {each["metadata"]["name"].partition("-")[0] for each in objects} == {"store"}

    def test_common_labels_are_everywhere_but_in_selectors(self):
        """commonLabels and commonAnnotations are on every object; labels on pods too; none in a selector."""
        labels, annotations = {"team": "shop"}, {"example.com/owner": "shop"}
        objects = helm.render({**BASE, "commonLabels": labels, "commonAnnotations": annotations})
        for each in objects:
            assert each["metadata"]["labels"].items() >= labels.items(), name(each)
            assert each["metadata"]["annotations"].items() >= annotations.items(), name(each)
        for owner, pod in objects.pods():
            assert pod["metadata"]["labels"].items() >= labels.items(), owner
        for each in objects.of("Deployment"):
            assert "team" not in each["spec"]["selector"]["matchLabels"], name(each)
