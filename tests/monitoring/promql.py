"""PromQL as a tree: every node of an expression with those above it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import promql_parser

_BRANCHES = ("expr", "lhs", "rhs", "vector_selector", "param")


@dataclass(frozen=True)
class Place:
    """A node and its ancestors, the nearest first."""

    node: Any
    above: tuple[Any, ...]

    def is_in(self, *functions: str) -> bool:
        """Say whether the node is an argument of one of these functions, however deep."""
        return any(_function(one) in functions for one in self.above)


def walk(expr: str) -> Iterator[Place]:
    """Yield every node; ValueError if it is no PromQL."""
    yield from _below(promql_parser.parse(expr), ())


def selectors(expr: str) -> Iterator[Place]:
    """Yield the selectors of an expression."""
    return (place for place in walk(expr) if isinstance(place.node, promql_parser.VectorSelector))


def ranges(expr: str) -> Iterator[Place]:
    """Yield the range selectors of an expression, without subqueries."""
    return (place for place in walk(expr) if isinstance(place.node, promql_parser.MatrixSelector))


def matchers(selector: Any) -> dict[str, tuple[str, str]]:
    """Return a selector's matchers by label: the operator as PromQL writes it, and the value."""
    signs = {"Equal": "=", "NotEqual": "!=", "Re": "=~", "NotRe": "!~"}
    found = selector.matchers.matchers
    return {one.name: (signs[str(one.op).rpartition(".")[2]], one.value) for one in found}


def grouped_by(expr: str) -> set[str]:
    """Return the labels that the expression's aggregations name."""
    modifiers = [place.node.modifier for place in walk(expr) if isinstance(place.node, promql_parser.AggregateExpr)]
    return {label for modifier in modifiers if modifier for label in modifier.labels}


def _function(node: Any) -> str:
    return node.func.name if isinstance(node, promql_parser.Call) else ""


def _below(node: Any, above: tuple[Any, ...]) -> Iterator[Place]:
    yield Place(node, above)
    branches = [getattr(node, name, None) for name in _BRANCHES]
    for branch in [*branches, *getattr(node, "args", ())]:
        if isinstance(branch, promql_parser.Expr) or hasattr(branch, "prettify"):
            yield from _below(branch, (node, *above))
