"""One thing that was looked at: a mark, what was found, and the next step where there is one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

OK, WARN, FAIL = "ok", "warn", "fail"
_ORDER = (OK, WARN, FAIL)


@dataclass(frozen=True)
class Finding:
    """One line of the report."""

    check: str
    mark: str
    text: str
    step: str = ""

    def line(self) -> str:
        """Return it as it is printed."""
        text = f"{self.text}; {self.step}" if self.step else self.text
        # A file name or a value may hold anything; a finding stays one line.
        shown = "".join(letter if letter.isprintable() else " " for letter in text)
        return f"{self.mark:<4}  {self.check:<10} {shown}"


def ok(check: str, text: str, step: str = "") -> Finding:
    """Return a finding about what is as it should be."""
    return Finding(check, OK, text, step)


def warn(check: str, text: str, step: str = "") -> Finding:
    """Return a finding about what is worth a look, and keeps nothing from being measured."""
    return Finding(check, WARN, text, step)


def fail(check: str, text: str, step: str = "") -> Finding:
    """Return a finding about what keeps something from being measured, or makes what is measured wrong."""
    return Finding(check, FAIL, text, step)


def worst(findings: Iterable[Finding]) -> str:
    """Return the worst mark."""
    return max((finding.mark for finding in findings), key=_ORDER.index, default=OK)


def plural(count: int, noun: str) -> str:
    """Return a count with its noun."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
