"""values.schema.json: it knows every key, names the nearest to a misspelt one, and says where a value is wrong."""

from __future__ import annotations

import re

import jsonschema
import pytest

from tests.chart import helm, schema
from tests.chart.comments import read_comments

SCHEMA = schema.load()
DEFAULTS = schema.defaults()
LEAVES = dict(schema.leaves(SCHEMA, DEFAULTS))
# Keys that the schema allows and values.yaml does not have, each for its reason.
WITHOUT_DEFAULT = {
    "enabled": "a chart that depends on this one may use it as the condition",
    "ullage-library": "Helm passes a dependency its own values",
}
# What an alert may have and not each has.
OPTIONAL = (".threshold", ".keepFiringFor")


def closed(node, path=""):
    """Yield path and node of every object that lists its properties."""
    if not isinstance(node, dict):
        return
    if "properties" in node:
        yield path, node
    for key, child in node.items():
        for name, inner in child.items() if key in {"properties", "$defs"} else [(key, child)]:
            yield from closed(inner, f"{path}.{name}")


def keywords(node):
    """Yield every keyword and its value."""
    for key, child in node.items() if isinstance(node, dict) else []:
        yield key, child
        yield from keywords(child)
    for child in node if isinstance(node, list) else []:
        yield from keywords(child)


class TestSchema:
    def test_it_is_one(self):
        """It is valid JSON Schema 2020-12, which editors and Helm know."""
        assert SCHEMA["$schema"] == "https://json-schema.org/draft/2020-12/schema"
        jsonschema.Draft202012Validator.check_schema(SCHEMA)

    def test_it_needs_no_network(self):
        """Every reference stays in the file, so that an install without internet works."""
        assert {target.split("/")[0] for key, target in keywords(SCHEMA) if key == "$ref"} == {"#"}

    def test_no_reference_has_validating_neighbours(self):
        """Beside $ref stands only what may be ignored: Helm before 3.18 reads an older draft, which ignores it."""
        harmless = {"$ref", "description", "required", "properties", "allOf"}
        assert [n for _, n in pairs_with_ref(SCHEMA) if n.keys() - harmless] == []

    def test_every_object_is_closed(self):
        """An object that lists its keys refuses others; global is open, for the charts beside this one."""
        objects = [(path, node) for path, node in closed(SCHEMA) if "$ref" not in node]
        assert [path for path, node in objects if node.get("additionalProperties") is not False] == [".global"]

    def test_values_has_every_key(self):
        """values.yaml has a default for each key of the schema, and the schema knows each key of values.yaml."""
        known = set(known_paths(SCHEMA, SCHEMA)) - set(WITHOUT_DEFAULT)
        missing = {path for path in known ^ set(paths(DEFAULTS)) if not path.endswith(OPTIONAL)}
        assert missing == set()

    def test_the_defaults_are_valid(self):
        """values.yaml itself passes."""
        jsonschema.Draft202012Validator(SCHEMA).validate(DEFAULTS)

    def test_it_is_up_to_date(self):
        """Descriptions and hints are those of values.yaml; if not: make docs."""
        assert schema.to_text(schema.refresh(schema.load(), schema.VALUES.read_text())) + "\n" == (
            schema.SCHEMA.read_text()
        )


class TestDescriptions:
    def test_each_leaf_is_documented(self):
        """Each key has a comment that begins with it, or its meaning is one that several sections share."""
        assert [path for path in LEAVES if path not in COMMENTS and not has_shared_meaning(path)] == []

    def test_no_key_is_commented_out(self):
        """values.yaml shows each key with its default rather than in a comment."""
        commented = re.findall(r"^ *# ?[A-Za-z]+:(?: *$| [\[{\"])", schema.VALUES.read_text(), re.MULTILINE)
        assert commented == []


class TestMisspeltKeys:
    @pytest.mark.parametrize(
        ("values", "hint"),
        [
            ({"web": {"replica": 3}}, "at '/web/replica': value must be 'no such key; the nearest is replicas'"),
            ({"web": {"replicaCount": 3}}, "the nearest is replicas"),
            ({"ingres": {}}, "at '/ingres': value must be 'no such key; the nearest is ingress'"),
            ({"image": {"pullpolicy": "Always"}}, "the nearest is pullPolicy"),
            ({"web": {"gunicorn": {"thread": 4}}}, "at '/web/gunicorn/thread': value must be"),
            ({"workers": [{"name": "a", "queue": ["a"]}]}, "at '/workers/0/queue': value must be"),
            ({"database": {"existingSecret": {"passwrodKey": "p"}}}, "the nearest is passwordKey"),
            ({"monitoring": {"rules": {"alerts": {"SessionLeaks": {}}}}}, "the nearest is SessionLeak"),
        ],
        ids=lambda value: str(value) if isinstance(value, dict) else "",
    )
    def test_the_nearest_is_named(self, values, hint):
        """Helm's message has the place of a misspelt key, and the key that it should have been."""
        refusal = helm.refusal({"evaluation": {"enabled": True}, **values})
        assert "additional properties" in refusal
        assert hint in refusal

    def test_one_wrong_letter_is_understood(self):
        """Where a key misses a letter, doubles it or has it in the wrong case, 98 % of the hints name the right one."""
        counts = [count_named(node["properties"]) for _, node in closed(SCHEMA) if node.get("allOf")]
        named, typos = (sum(column) for column in zip(*counts, strict=True))
        assert named >= 0.98 * typos, f"{named} of {typos}"

    def test_an_unlike_key_is_refused_all_the_same(self):
        """A key that resembles none is refused without a hint."""
        assert "additional properties 'zebra' not allowed" in helm.refusal({"zebra": 1})


class TestAsDependency:
    def test_a_parents_global_is_accepted(self):
        """Globals of other charts, and the condition `enabled`, are no unknown keys."""
        parent = {"global": {"storageClass": "fast"}, "enabled": True, "evaluation": {"enabled": True}}
        assert helm.refusal(parent) == ""


BAD = {
    "web.port": 70000,
    "web.replicas": "two",
    "web.gunicorn.workers": 0,
    "web.app": "no module",
    "web.strategy.maxSurge": "one",
    "web.service.type": "Public",
    "web.probes.livenessPath": "livez",
    "web.resources": {"limit": {}},
    "web.extraEnv": [{"name": "A", "value": 1}],
    "ullage.policy": "observ",
    "ullage.policyOverrides": ["queue:low"],
    "ullage.leakThresholdSeconds": 0,
    "image.digest": "sha256:abc",
    "image.tag": 1.2,
    "image.repository": "",
    "exporter.logLevel": "loud",
    "exporter.directory": "run",
    "proxy.topology": "nginx",
    "proxy.custom.xFor": 11,
    "migrations.command": [],
    "database.port": "3306",
    "database.query": {"charset": 1},
    "database.waitTimeoutSeconds": 1,
    "database.env.url": "DATABASE-URL",
    "database.existingSecret.name": "Not_A_Name",
    "ingress.pathPrefix": "shop/",
    "ingress.hosts": [{"paths": []}],
    "httpRoute.parentRefs": [{"namespace": "gateways"}],
    "networkPolicy.databaseTo": [{"cidr": "10.0.0.0/8"}],
    "networkPolicy.apiServerPorts": [],
    "evaluation.mariadb.storage": "much",
    "monitoring.podMonitor.interval": "often",
    "monitoring.rules.alerts": {"SessionLeak": {"for": "soon"}},
    "commonLabels": {"number": 1},
    "workers": [{"queues": ["a"]}],
}


class TestBadValues:
    @pytest.mark.parametrize("path", BAD)
    def test_the_place_is_named(self, path):
        """A value that cannot be right is refused, with the place where it stands."""
        errors = jsonschema.Draft202012Validator(SCHEMA).iter_errors(nested(path, BAD[path]))
        places = [".".join(str(key) for key in error.absolute_path) for error in errors]
        assert places
        assert all(place.startswith(path) for place in places)

    def test_helm_names_it_too(self):
        """Helm's message has the place, and what would be right."""
        refusal = helm.refusal({"web": {"port": 70000}, "ullage": {"policy": "observ"}})
        assert "at '/web/port': maximum: got 70,000, want 65,535" in refusal
        assert "at '/ullage/policy': value must be one of 'ignore', 'observe', 'reclaim', 'strict'" in refusal

    def test_a_worker_set_has_a_name(self):
        """An entry of workers without a name is refused, and workerDefaults can have none."""
        assert "missing property 'name'" in helm.refusal({"workers": [{"queues": ["a"]}]})
        assert "at '/workerDefaults/name'" in helm.refusal({"workerDefaults": {"name": "a"}})


COMMENTS = read_comments(schema.VALUES.read_text())


def nested(path, value):
    """Return the values that have one leaf."""
    for key in reversed(path.split(".")):
        value = {key: value}
    return value


def paths(values, parents=()):
    """Yield every key path that the schema divides, and the leaves."""
    for key, value in values.items():
        path = ".".join((*parents, key))
        yield path
        if path not in LEAVES:
            yield from paths(value, (*parents, key))


def known_paths(root, node, parents=()):
    """Yield every key path that the schema knows."""
    for key, child in schema.resolve(root, node).get("properties", {}).items():
        path = ".".join((*parents, key))
        if child is False or path == "workerDefaults.name":
            continue
        yield path
        if key != "resources":
            yield from known_paths(root, child, (*parents, key))


def has_shared_meaning(path):
    """Say whether the key, or a parent, is a definition that several sections share, and says what the key means."""
    keys = path.split(".")
    nodes = [schema.find(SCHEMA, ".".join(keys[: depth + 1])) for depth in range(len(keys))]
    is_shared = any("$ref" in node for node in nodes if node)
    return is_shared and bool(schema.resolve(SCHEMA, nodes[-1]).get("description"))


def pairs_with_ref(node):
    """Yield each schema that is a reference."""
    if isinstance(node, dict) and isinstance(node.get("$ref"), str):
        yield "$ref", node
    for child in node.values() if isinstance(node, dict) else node if isinstance(node, list) else []:
        yield from pairs_with_ref(child)


def count_named(names):
    """Return how many misspelt names the hints lead back, and how many there are."""
    patterns = [
        (re.compile(pattern), hint["const"].rpartition(" ")[2])
        for pattern, hint in schema.near_names(names)["patternProperties"].items()
    ]
    pairs = [(name, typo) for name in names if len(name) >= schema.MIN_HINTED for typo in typos_of(name) - set(names)]
    named = [any(found == name and pattern.match(typo) for pattern, found in patterns) for name, typo in pairs]
    return sum(named), len(pairs)


def typos_of(name):
    """Return the name with each of its letters missing, doubled and in the wrong case."""
    parts = [(name[:place], name[place], name[place + 1 :]) for place in range(len(name))]
    return {
        typo
        for before, letter, after in parts
        for typo in (before + after, before + 2 * letter + after, before + letter.swapcase() + after)
    }
