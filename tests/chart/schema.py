"""values.schema.json: types and limits are written by hand, and descriptions, alerts and hints are derived here."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator
from typing import Any

import yaml

from tests.chart.comments import read_comments
from tests.chart.helm import CHART

Schema = dict[str, Any]

VALUES = CHART / "values.yaml"
SCHEMA = CHART / "values.schema.json"
WIDTH = 120
# Definitions whose descriptions come from one place of values.yaml, although others refer to them.
OWNERS = {"workerSet": "workerDefaults"}
HINTS = "misspelt."
# Half of two letters is too little to resemble anything.
MIN_HINTED = 3


def load() -> Schema:
    """Return the schema as it is in the chart."""
    return json.loads(SCHEMA.read_text())


def refresh(schema: Schema, values_text: str) -> Schema:
    """Return the schema with the descriptions and alerts of values.yaml, and a hint for each misspelt key."""
    alerts = find(schema, "monitoring.rules.alerts")
    names = yaml.safe_load(values_text)["monitoring"]["rules"]["alerts"]
    alerts["properties"] = {name: {"$ref": "#/$defs/alert"} for name in names}
    for path, comment in read_comments(values_text).items():
        node = find(schema, path, owned=True)
        if node is not None:
            node["description"] = comment
    definitions = schema["$defs"]
    for name in [name for name in definitions if name.startswith(HINTS)]:
        del definitions[name]
    hints = {name: near_names(node["properties"]) for name, node in _closed_objects(schema)}
    for name, node in _closed_objects(schema):
        node["allOf"] = [{"$ref": f"#/$defs/{HINTS}{name}"}]
    definitions.update({HINTS + name: hint for name, hint in hints.items()})
    return schema


def find(schema: Schema, path: str, *, owned: bool = False) -> Schema | None:
    """Return the node of a key path; `owned` stops at definitions that several keys share."""
    node = schema
    for depth, key in enumerate(path.split(".")):
        parent = ".".join(path.split(".")[:depth])
        target = node.get("$ref", "").removeprefix("#/$defs/")
        if target and (not owned or OWNERS.get(target) == parent):
            node = schema["$defs"][target]
        if not isinstance(node, dict) or key not in node.get("properties", {}):
            return None
        node = node["properties"][key]
    return node


def resolve(schema: Schema, node: Schema) -> Schema:
    """Return the node with what it refers to; its own keywords win."""
    target = node.get("$ref", "").removeprefix("#/$defs/")
    if not target:
        return node
    shared = resolve(schema, schema["$defs"][target])
    properties = {**shared.get("properties", {}), **node.get("properties", {})}
    return {**shared, **node, **({"properties": properties} if properties else {})}


def leaves(schema: Schema, values: dict[str, Any], parents: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    """Yield path and default of each key that the schema does not divide further."""
    for key, value in values.items():
        path = ".".join((*parents, key))
        node = find(schema, path)
        if node is None:
            raise KeyError(f"values.schema.json has no {path}; add it there with its type")
        # A map whose keys the user chooses is one value; so are resources, which are Kubernetes' own.
        is_divided = isinstance(value, dict) and "properties" in resolve(schema, node) and key != "resources"
        if is_divided:
            yield from leaves(schema, value, (*parents, key))
        else:
            yield path, value


def near_names(names: Collection[str]) -> Schema:
    """Return a schema that answers a misspelt key with the nearest one.

    Helm's own message is "additional properties 'replica' not allowed". It prints the location of `propertyNames`
    wrongly, so the hint is the constant that the value of such a key would have to be.
    """
    patterns = {name: misspelt(name, names) for name in names}
    return {
        "patternProperties": {
            pattern: {"const": f"no such key; the nearest is {name}"} for name, pattern in patterns.items() if pattern
        }
    }


def misspelt(name: str, names: Collection[str]) -> str:
    """Return a pattern of what resembles the name: one half of it is as it should be, and the other is not.

    One typing error leaves a half alone. Without lookahead in Go's patterns, "not this half" is another length, or
    another letter in one place. An alternative that another key matches is left out.
    """
    if len(name) < MIN_HINTED:
        return ""
    half = (len(name) + 1) // 2
    first, last = name[:half], name[half:]
    endings = _join([other for other in _anything_but(last) if not _any_match(first + other, names)])
    beginnings = _join([other for other in _anything_but(first) if not _any_match(other + last, names)])
    # Two letters that changed places where the halves meet leave neither as it was.
    swapped = first[:-1] + last[0] + first[-1] + last[1:]
    parts = [first + endings] * bool(endings) + [beginnings + last] * bool(beginnings) + [swapped]
    return f"^({'|'.join(part for part in parts if part not in names)})$"


def _any_match(pattern: str, names: Collection[str]) -> bool:
    return any(re.fullmatch(pattern, name) for name in names)


def _anything_but(text: str) -> list[str]:
    size = len(text)
    lengths = [f".{{{length}}}" for length in range(size + 5) if length != size]
    return lengths + ["." * place + f"[^{letter}]" + "." * (size - place - 1) for place, letter in enumerate(text)]


def _join(alternatives: list[str]) -> str:
    """Return a group of the alternatives, with consecutive lengths as one: .{0,3} for .{0}, .{1}, .{2}, .{3}."""
    lengths = [int(pattern[2:-1]) for pattern in alternatives if pattern.startswith(".{")]
    starts = [length for length in lengths if length - 1 not in lengths]
    ends = [length for length in lengths if length + 1 not in lengths]
    ranges = [f".{{{start},{end}}}" for start, end in zip(starts, ends, strict=True)]
    others = [pattern for pattern in alternatives if not pattern.startswith(".{")]
    return f"({'|'.join([*ranges, *others])})" if alternatives else ""


def _closed_objects(schema: Schema) -> Iterator[tuple[str, Schema]]:
    """Yield a name and the node of each object that refuses unknown keys."""
    roots = [("", schema), *((name, node) for name, node in schema["$defs"].items() if not name.startswith(HINTS))]
    while roots:
        name, node = roots.pop(0)
        if not isinstance(node, dict):
            continue
        if node.get("additionalProperties") is False:
            yield name or "values", node
        prefix = f"{name}." if name else ""
        roots += [(prefix + key, child) for key, child in node.get("properties", {}).items()]
        if isinstance(node.get("items"), dict):
            roots.append((f"{name}.items", node["items"]))


def to_text(node: Any, indent: int = 0, used: int = 0) -> str:
    """Return JSON with each object or list on one line where it fits, so that a key's schema is one line."""
    line = json.dumps(node, ensure_ascii=False)
    if not isinstance(node, dict | list) or not node or (indent and indent + used + len(line) < WIDTH):
        return line
    inner = " " * (indent + 2)
    if isinstance(node, dict):
        rows = [f"{inner}{json.dumps(key)}: {to_text(child, indent + 2, len(key) + 4)}" for key, child in node.items()]
        return "{\n" + ",\n".join(rows) + "\n" + " " * indent + "}"
    return "[\n" + ",\n".join(inner + to_text(child, indent + 2) for child in node) + "\n" + " " * indent + "]"


def main() -> None:
    """Write the derived parts into values.schema.json."""
    SCHEMA.write_text(to_text(refresh(load(), VALUES.read_text())) + "\n")


def defaults() -> dict[str, Any]:
    """Return values.yaml."""
    return yaml.safe_load(VALUES.read_text())
