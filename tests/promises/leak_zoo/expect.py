"""What is expected of a job function, said in a decorator beside it."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

ROOT = Path(__file__).parents[3]
HERE = "# <- here"
ATTRIBUTE = "__expected__"
F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True)
class Expected:
    """What one job counts as. `sites` are the lines that end in `# <- here`, each once a run."""

    kind: str = ""
    level: str = "leaked"
    sites: tuple[str, ...] = ()
    runs: int = 1
    # The worker on which the job leaks nothing, because that cleans up, or lets a thread live on.
    innocent_on: str = ""
    # It is judged before whatever cleans up has run, if the policy is `strict`.
    strict_is_early: bool = False
    # Its connection is out in a place of which the probe does not know the job.
    is_anonymous: bool = False
    enqueue: dict[str, Any] = field(default_factory=dict)


def sites_of(function: Callable[..., Any]) -> tuple[str, ...]:
    """Return `path:line` of the lines that end in `# <- here`."""
    lines, first = inspect.getsourcelines(function)
    path = Path(inspect.getfile(function)).resolve().relative_to(ROOT)
    return tuple(f"{path}:{first + n}" for n, line in enumerate(lines) if line.rstrip().endswith(HERE))


def leaks(kind: str = "held_at_job_end", level: str = "leaked", at: Any = None, **more: Any) -> Callable[[F], F]:
    """Mark a function that leaks; `at` is the function with the line, where that is another one."""

    def mark(function: F) -> F:
        sites = sites_of(at or function)
        if not sites:
            raise ValueError(f"{function.__qualname__} has no line that ends in {HERE!r}")
        setattr(function, ATTRIBUTE, Expected(kind, level, sites, **more))
        return function

    return mark


def innocent(function: F) -> F:
    """Mark a function that leaks nothing."""
    setattr(function, ATTRIBUTE, Expected())
    return function


def innocent_but(**more: Any) -> Callable[[F], F]:
    """Mark a function that leaks nothing and is to be enqueued with options."""

    def mark(function: F) -> F:
        setattr(function, ATTRIBUTE, Expected(enqueue=more))
        return function

    return mark
