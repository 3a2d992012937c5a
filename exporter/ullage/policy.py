"""What is done about an unreleased session: nothing, release it, or fail the job; by site, function and queue."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

POLICIES = ("ignore", "observe", "reclaim", "strict")
ATTRIBUTE = "__ullage_policy__"

_F = TypeVar("_F", bound=Callable[..., Any])


class UnreleasedSessionError(Exception):
    """A job under the policy `strict` returned without releasing its session; names function, line and the fix."""


def policy(name: str) -> Callable[[_F], _F]:
    """Set the policy of one job function.

    Args:
        name: `ignore` (kept on purpose, not counted), `observe` (counted), `reclaim` (counted and released) or `strict`
            (counted, and the job fails).

    Raises:
        ValueError: there is no such policy.
    """
    if name not in POLICIES:
        raise ValueError(f"policy {name!r} is not one of {', '.join(POLICIES)}")

    def mark(function: _F) -> _F:
        setattr(function, ATTRIBUTE, name)
        return function

    return mark


@dataclass(frozen=True)
class Policies:
    """The default, and `kind:name=policy` overrides, the nearest of which wins: site, function, queue."""

    default: str
    overrides: tuple[tuple[str, str, str], ...] = ()

    @classmethod
    def parse(cls, default: str, overrides: tuple[str, ...]) -> Policies:
        """Read `queue:low=ignore`, `function:app.tasks.load=strict`, `site:app/locks.py=ignore`."""
        found = []
        for item in overrides:
            left, _, name = item.rpartition("=")
            kind, _, value = left.partition(":")
            found.append((kind, value, name))
        return cls(default, tuple(found))

    def of(self, queue: str, function: str, site: str, decorated: str | None = None) -> str:
        """Return the policy for a leak at `site` in a job."""
        at_site = self.of_site(site)
        if at_site:
            return at_site
        if decorated in POLICIES:
            return str(decorated)
        for wanted, value in (("function", function), ("queue", queue)):
            for kind, name, chosen in self.overrides:
                if (kind, name) == (wanted, value):
                    return chosen
        return self.default

    def of_site(self, site: str) -> str | None:
        """Return the policy of a call site, None where none is set."""
        found = (chosen for kind, name, chosen in self.overrides if kind == "site" and _is_at(site, name))
        return next(found, None)


def _is_at(site: str, wanted: str) -> bool:
    """Compare `app/db.py:12 get` with `db.py`, `app/db.py:12` or `app/db.py:get`."""
    place, _, function = site.partition(" ")
    path, _, line = place.rpartition(":")
    wanted_path, _, detail = wanted.partition(":")
    return f"/{path}".endswith(f"/{wanted_path}") and detail in ("", line, function, function.rpartition(".")[2])
