"""Each key of values.yaml does something: a file of chart/ci changes it, and the render changes with it."""

from __future__ import annotations

import copy
import functools

import pytest

from tests.chart import helm, schema

SCHEMA = schema.load()
DEFAULTS = schema.defaults()
LEAVES = {path: default for path, default in schema.leaves(SCHEMA, DEFAULTS) if ".rules.alerts." not in path}
ALERTS = DEFAULTS["monitoring"]["rules"]["alerts"]
MISSING = object()
# Keys that are read where no render can show it, each with its reason.
UNSEEN: dict[str, str] = {}
# Keys without which the same values are refused, or that a check compares and nothing else reads.
CHECKED = {
    *("database.host", "database.existingSecret.name", "database.existingSecret.urlKey"),
    *("database.existingSecret.hostKey", "redis.existingSecret.urlKey", "redis.existingSecret.hostKey"),
    *("redis.enabled", "evaluation.enabled", "httpRoute.parentRefs", "proxy.custom.xPrefix"),
    "workerDefaults.jobTimeoutSeconds",
}
REFUSED = "refused: "
# Where an effect is looked for first; all templates together take twice as long.
PARTS = {
    **dict.fromkeys(("web", "exporter", "ullage", "database", "redis", "proxy", "image", "global"), "web/"),
    "workerDefaults": "worker/",
    "migrations": "migration/",
    "observer": "observer/",
    "monitoring": "monitoring/",
    "evaluation": "evaluation/",
    "networkPolicy": "networkpolicy/",
    "tests": "tests/",
    "ingress": "ingress",
    "httpRoute": "httproute",
}
MINIMAL = helm.case(helm.CHART / "ci" / "minimal-values.yaml")


@functools.cache
def cases():
    """Return the values of each file of chart/ci."""
    return [helm.case(path) for path in helm.cases()]


def look_up(values, path):
    """Return what the values have at a path."""
    for key in path.split("."):
        if not isinstance(values, dict) or key not in values:
            return MISSING
        values = values[key]
    return values


def without(values, path):
    """Return the values without a path, so that its default holds."""
    changed = copy.deepcopy(values)
    *parents, last = path.split(".")
    del functools.reduce(dict.__getitem__, parents, changed)[last]
    return changed


def with_leaf(path, value):
    """Return the least that renders, and the leaf."""
    changed = copy.deepcopy(MINIMAL)
    *parents, last = path.split(".")
    functools.reduce(lambda node, key: node.setdefault(key, {}), parents, changed)[last] = value
    return changed


def text_of(values, part):
    """Return all that a render writes, or Helm's message where it is refused."""
    try:
        return str(sorted(helm.render_files(values, part=part).items()))
    except helm.RefusedError as error:
        return f"{REFUSED}{error}"


def changes(path):
    """Yield renders with the key and without it, in the likeliest templates and the smallest values first."""
    values = [case for case in cases() if look_up(case, path) not in (MISSING, LEAVES[path])]
    for part in dict.fromkeys([PARTS.get(path.partition(".")[0], ""), ""]):
        for case in values:
            yield text_of(with_leaf(path, look_up(case, path)), part), text_of(MINIMAL, part)
            yield text_of(case, part), text_of(without(case, path), part)


def is_effect(path, with_key, without_key):
    """Say whether two renders differ, and not only in that Helm refuses one of them."""
    is_refused = with_key.startswith(REFUSED) or without_key.startswith(REFUSED)
    return with_key != without_key and (path in CHECKED or not is_refused)


@pytest.mark.parametrize("path", [path for path in LEAVES if path not in UNSEEN])
def test_each_leaf_has_an_effect(path):
    """In some file of chart/ci the key has another value than its default, and without it the render is another."""
    assert any(is_effect(path, *texts) for texts in changes(path)), (
        f"{path} changes no object, or no file of chart/ci has it; add it to everything-values.yaml"
    )


def test_the_exceptions_are_keys():
    """What is reasoned away still exists."""
    assert UNSEEN.keys() | CHECKED <= LEAVES.keys()


class TestAlerts:
    @staticmethod
    def rules(**changes):
        """Return the alert rules by name, with the same changes in each alert's values."""
        alerts = {name: {key: value for key, value in changes.items() if key in own} for name, own in ALERTS.items()}
        rules = {"enabled": True, "alerts": alerts}
        values = {"database": {"host": "db"}, "redis": {"host": "redis"}, "monitoring": {"rules": rules}}
        made = helm.render(values).of("PrometheusRule")
        found = [rule for each in made for group in each["spec"]["groups"] for rule in group["rules"]]
        return {rule["alert"]: rule for rule in found if "alert" in rule}

    @pytest.mark.parametrize(
        ("key", "value"),
        [
            ("for", "7m"),
            ("keepFiringFor", "9m"),
            ("severity", "info"),
            ("threshold", 0.4321),
            ("labels", {"team": "a"}),
        ],
        ids=lambda value: value if isinstance(value, str) else "",
    )
    def test_each_can_be_changed(self, key, value):
        """`for`, keepFiringFor, severity, threshold and labels of each alert change its rule."""
        before, after = self.rules(), self.rules(**{key: value})
        same = [name for name, own in ALERTS.items() if key in own and before[name] == after[name]]
        assert same == []

    def test_each_can_be_left_out(self):
        """`enabled: false` removes the alert."""
        assert self.rules().keys() == ALERTS.keys()
        assert self.rules(enabled=False) == {}
