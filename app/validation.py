"""Checks of what people send: every error names the field, the value and what is allowed."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from decimal import Decimal
from typing import NoReturn

MAX_QUANTITY = 10_000
SKU = re.compile(r"[A-Za-z0-9._-]{1,64}")
QUANTITY = re.compile(r"[0-9]{1,5}")
PRICE = re.compile(r"[0-9]{1,7}(\.[0-9]{1,2})?")


@dataclass(frozen=True)
class FieldError:
    """One refused value; `line` is set for files."""

    field: str
    value: str
    allowed: str
    line: int | None = None

    def __str__(self) -> str:
        place = f"line {self.line}, " if self.line is not None else ""
        return f"{place}{self.field}: got {self.value}, want {self.allowed}"

    def to_json(self) -> dict[str, str | int]:
        """Give the error as JSON, with `line` only where there is one."""
        found: dict[str, str | int] = {} if self.line is None else {"line": self.line}
        return {**found, "field": self.field, "value": self.value, "allowed": self.allowed}


class InvalidInputError(ValueError):
    """What was sent is refused; `errors` says why, value by value."""

    def __init__(self, *errors: FieldError) -> None:
        super().__init__("; ".join(str(error) for error in errors))
        self.errors = errors


@dataclass
class Check:
    """Collect the errors of one input, so that a person sees them all at once."""

    errors: list[FieldError] = field(default_factory=list)
    line: int | None = None

    def refuse(self, name: str, value: object, allowed: str) -> None:
        """Note that a value is refused."""
        self.errors.append(FieldError(name, shorten(value), allowed, self.line))

    def text(self, name: str, value: object, longest: int) -> str:
        """Accept printable text that is not blank."""
        cleaned = value.strip() if isinstance(value, str) else ""
        if not cleaned or len(cleaned) > longest or not cleaned.isprintable():
            self.refuse(name, value, f"1 to {longest} printable characters")
        return cleaned

    def sku(self, name: str, value: object) -> str:
        """Accept an article number."""
        cleaned = value.strip() if isinstance(value, str) else ""
        if not SKU.fullmatch(cleaned):
            self.refuse(name, value, "1 to 64 letters, digits, dots, dashes or underscores")
        return cleaned

    def quantity(self, name: str, value: object) -> int:
        """Accept a whole number, as a number or as text."""
        number = int(_matched(QUANTITY, value) or 0)
        if not 1 <= number <= MAX_QUANTITY:
            self.refuse(name, value, f"an integer from 1 to {MAX_QUANTITY}")
        return number

    def cents(self, name: str, value: object) -> int:
        """Accept a price with at most two decimals, as a number or as text, and give it in cents."""
        price = _matched(PRICE, value)
        if price is None:
            self.refuse(name, value, "a price from 0 to 9999999.99 with at most two decimals")
        return int(Decimal(price or 0) * 100)

    def known_fields(self, name: str, given: dict[str, object], known: frozenset[str]) -> None:
        """Refuse fields that nothing would read: a misspelt one is an error, not a default."""
        for unknown in sorted(given.keys() - known):
            self.refuse(f"{name}{unknown}", given[unknown], f"no such field; fields are {', '.join(sorted(known))}")

    def stop(self) -> NoReturn:
        """Raise everything noted so far."""
        raise InvalidInputError(*self.errors)

    def finish(self) -> None:
        """Raise what was noted, if anything was."""
        if self.errors:
            self.stop()


def shorten(value: object) -> str:
    """Show a value as it was sent, at a length that fits an error message."""
    shown = "nothing" if value is None else repr(value)
    return shown if len(shown) <= 80 else f"{shown[:77]}..."


def _matched(pattern: re.Pattern[str], value: object) -> str | None:
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        return None
    match = pattern.fullmatch(str(value).strip())
    return match.group() if match else None
