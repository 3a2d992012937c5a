"""chart/README.md says what values.yaml has."""

from __future__ import annotations

import re

import pytest
import yaml

from tests.chart import docs, helm, schema

TEXT = docs.README.read_text()


def test_it_is_up_to_date():
    """The tables are those of values.yaml and values.schema.json; if not: make docs."""
    assert docs.produce(TEXT) == TEXT


@pytest.mark.parametrize("path", [path for path, _ in schema.leaves(schema.load(), schema.defaults())])
def test_it_has_every_key(path):
    """Each key has a row with a meaning and a type; an alert has its row."""
    if path.startswith(docs.ALERTS):
        assert f"| `{path.split('.')[3]}` |" in TEXT
    else:
        assert re.search(rf"^\| `{re.escape(path)}` \| \S.* \| \S.* \| `.*` \|$", TEXT, re.MULTILINE)


def test_its_example_installs():
    """The values under `Your application` render."""
    example = TEXT.partition("    # values.yaml\n")[2].partition("\n\n    helm upgrade")[0]
    assert helm.refusal(yaml.safe_load(example)) == ""


def test_its_links_lead_somewhere():
    """Every relative link of the README is a file or a folder."""
    links = re.findall(r"\]\(([^)#:]+)\)", TEXT)
    assert [link for link in links if not (helm.CHART / link).exists()] == []
