"""chart/README.md says what values.yaml has."""

from __future__ import annotations

import re

import yaml

from tests.chart import docs, helm, schema

TEXT = docs.README.read_text()


def test_it_is_up_to_date():
    """The tables are those of values.yaml and values.schema.json; if not: make docs."""
    assert docs.produce(TEXT) == TEXT


def test_it_has_every_key():
    """Each key has a row with a meaning, a type and its default, and each alert a row."""
    paths = [path for path, _ in schema.leaves(schema.load(), schema.defaults())]
    rows = set(re.findall(r"^\| `([^`]+)` \| \S.* \| \S.* \| `.*` \|$", TEXT, re.MULTILINE))
    alerts = {path.split(".")[3] for path in paths if path.startswith(docs.ALERTS)}
    assert {path for path in paths if not path.startswith(docs.ALERTS)} - rows == set()
    assert [alert for alert in alerts if f"| `{alert}` |" not in TEXT] == []


def test_its_example_installs():
    """The values under `Your application` render."""
    example = TEXT.partition("    # values.yaml\n")[2].partition("\n\n    helm upgrade")[0]
    assert helm.refusal(yaml.safe_load(example)) == ""


def test_its_links_lead_somewhere():
    """Every relative link of the README is a file or a folder."""
    links = re.findall(r"\]\(([^)#:]+)\)", TEXT)
    assert [link for link in links if not (helm.CHART / link).exists()] == []
