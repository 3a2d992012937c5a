"""`limit` and `offset` in query strings, and the answer's `total` and `next`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from flask import request, url_for

from app.validation import Check

DEFAULT_LIMIT = 20
MAX_LIMIT = 100
# What a 32-bit column could number; above it databases differ in what they accept.
MAX_OFFSET = 2**31 - 1


@dataclass(frozen=True)
class Page:
    """Which part of a list was asked for."""

    limit: int
    offset: int

    @classmethod
    def from_request(cls) -> Page:
        """Read the page from the query string."""
        check = Check()
        page = cls(
            limit=_integer(check, "limit", DEFAULT_LIMIT, 1, MAX_LIMIT),
            offset=_integer(check, "offset", 0, 0, MAX_OFFSET),
        )
        check.finish()
        return page

    def next_url(self, endpoint: str, total: int) -> str | None:
        """Give the address of the page after this one, or nothing on the last."""
        after = self.offset + self.limit
        return url_for(endpoint, limit=self.limit, offset=after) if after < total else None

    def previous_url(self, endpoint: str) -> str | None:
        """Give the address of the page before this one, or nothing on the first."""
        before = max(0, self.offset - self.limit)
        return url_for(endpoint, limit=self.limit, offset=before) if self.offset else None

    def to_json(self, endpoint: str, items: list[dict[str, Any]], total: int) -> dict[str, Any]:
        """Give one page of a list as the API shows it."""
        return {
            "items": items,
            "total": total,
            "limit": self.limit,
            "offset": self.offset,
            "next": self.next_url(endpoint, total),
        }


def _integer(check: Check, name: str, default: int, lowest: int, highest: int) -> int:
    value = request.args.get(name, str(default))
    number = int(value) if value.isascii() and value.isdigit() and len(value) <= 10 else -1
    if not lowest <= number <= highest:
        check.refuse(name, value, f"an integer from {lowest} to {highest}")
    return number
