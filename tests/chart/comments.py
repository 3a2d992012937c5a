"""The comments of values.yaml by key: what the schema's descriptions and the chart's README say."""

from __future__ import annotations

import re
from collections.abc import Iterator

import yaml

# "web.port is where ..." reads "where ..." beside the key; other verbs stay.
COPULAS = ("is ", "are ")


def read_comments(text: str) -> dict[str, str]:
    """Return, for each key path whose comment starts with the path, what the comment says of it."""
    lines = text.splitlines()
    found = {}
    for path, line, indent in _keys(yaml.compose(text, Loader=yaml.SafeLoader), ()):
        comment = _comment_above(lines, line, indent)
        subject = re.match(r"[\w.]*\w", comment)
        if subject and _names(subject[0], path):
            found[path] = meaning(comment[subject.end() :])
    return found


def _names(subject: str, path: str) -> bool:
    """Say whether the subject is the path, or the end of one: SessionLeak.for, but not `for` alone."""
    return subject == path or ("." in subject and path.endswith("." + subject))


def meaning(rest: str) -> str:
    """Turn what follows the key in a comment into a phrase for a table."""
    phrase = rest.lstrip(" :;")
    if rest.startswith(" "):
        copula = next((copula for copula in COPULAS if phrase.startswith(copula)), "")
        phrase = phrase[len(copula) :]
    return phrase.removesuffix(".")


def _keys(node: yaml.Node, parents: tuple[str, ...]) -> Iterator[tuple[str, int, int]]:
    for key, value in node.value:
        path = (*parents, key.value)
        yield ".".join(path), key.start_mark.line, key.start_mark.column
        if isinstance(value, yaml.MappingNode):
            yield from _keys(value, path)


def _comment_above(lines: list[str], line: int, indent: int) -> str:
    words: list[str] = []
    mark = " " * indent + "#"
    while line > 0 and lines[line - 1].startswith(mark):
        line -= 1
        words.insert(0, lines[line][len(mark) :].strip())
    return " ".join(words)
