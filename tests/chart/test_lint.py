"""`helm lint --strict`, and what each file of chart/ci is for."""

from __future__ import annotations

import jsonschema

from tests.chart import helm, schema

VALIDATOR = jsonschema.Draft202012Validator(schema.load())


def test_each_case_fits_the_schema(case):
    """values.schema.json accepts every file of chart/ci."""
    assert [f"{error.json_path}: {error.message}" for error in VALIDATOR.iter_errors(case)] == []


def test_each_case_lints(case):
    """`helm lint --strict` has nothing to say about any file of chart/ci."""
    assert helm.lint(case) == []


def test_the_defaults_lint():
    """`helm lint --strict` has nothing to say about values.yaml alone."""
    assert helm.lint({}) == []


def test_helm_asks_the_schema_too():
    """With everything changed, Helm accepts the values as the validator here does."""
    assert helm.refusal(helm.case(helm.CHART / "ci" / "everything-values.yaml")) == ""


def test_each_case_says_what_it_promises(case_file):
    """The first line of a file in chart/ci is its promise, as one sentence."""
    promise = case_file.read_text().split("\n", 1)[0]
    assert promise.startswith("# ")
    assert promise.endswith(".")


def test_each_case_renders_without_empty_leftovers(objects):
    """No object has a key whose value is null: server-side apply would take it as a wish to have nothing there."""
    assert [f"{helm.name(manifest)}: {path}" for manifest in objects for path in nulls(manifest)] == []


def nulls(node, path=""):
    """Yield the path of each null."""
    if node is None:
        yield path
    children = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, child in children:
        yield from nulls(child, f"{path}.{key}")
