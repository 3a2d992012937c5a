"""What a setting may be: the rule in words beside the parser that keeps it."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"0", "false", "no", "off"})


@dataclass(frozen=True)
class Kind:
    """What a setting takes: the rule in words, and the parser that raises ValueError for the rest."""

    allowed: str
    parse: Callable[[str], Any]
    # Never to be shown, not even when it is bad.
    is_secret: bool = False


def _parse_switch(text: str) -> bool:
    word = text.lower()
    if word not in _TRUE | _FALSE:
        raise ValueError(text)
    return word in _TRUE


def parse_seconds(text: str) -> float:
    """Read a number of seconds above 0."""
    seconds = float(text)
    if not (re.fullmatch(r"[0-9.]+", text) and 0 < seconds < math.inf):
        raise ValueError(text)
    return seconds


def parse_label(text: str) -> str:
    """Read a label value."""
    if not text.isprintable() or len(text.encode()) > 63:
        raise ValueError(text)
    return text


def parse_address(text: str) -> str:
    """Read an address to listen on, without a port."""
    if ":" in text:
        from ipaddress import IPv6Address

        return str(IPv6Address(text.removeprefix("[").removesuffix("]")))
    return _parse_matching(r"[0-9A-Za-z._-]{1,253}", text)


def parse_redis_url(text: str) -> str:
    """Read the URL of a Redis server, which may hold a password."""
    from urllib.parse import urlsplit

    parts = urlsplit(_parse_matching(r"[!-~]+", text))
    if parts.scheme not in ("redis", "rediss", "unix") or not (parts.netloc or parts.path):
        raise ValueError
    # A password with an unquoted / or # ends up here, and would then be shown as a host or a path.
    if "@" in parts.path + parts.query + parts.fragment or (parts.port or 1) < 1:
        raise ValueError
    return text


def parse_budget(text: str) -> tuple[tuple[str, int], ...]:
    """Read connections by component from a JSON object."""
    import json

    found = json.loads(text)
    if not isinstance(found, dict) or len(found) > 100:
        raise ValueError(text)
    for component, connections in found.items():
        # A switch is an int to Python.
        if type(connections) is not int or not 0 <= connections < 10**9 or not parse_label(component):
            raise ValueError(text)
    return tuple(found.items())


def _parse_matching(pattern: str, text: str) -> str:
    if not re.fullmatch(pattern, text):
        raise ValueError(text)
    return text


def matching(pattern: str, allowed: str) -> Kind:
    """Take what a regular expression matches as a whole."""
    return Kind(allowed, lambda text: _parse_matching(pattern, text))


def choice(*words: str) -> Kind:
    """Take one of several words, in any case."""
    *others, last = words
    pattern = "|".join(words)
    return Kind(f"{', '.join(others)} or {last}", lambda text: _parse_matching(pattern, text.lower()))


def integer(low: int, high: int) -> Kind:
    """Take an integer between two bounds."""

    def parse(text: str) -> int:
        number = int(_parse_matching(r"[0-9]{1,9}", text))
        if not low <= number <= high:
            raise ValueError(text)
        return number

    return Kind(f"an integer from {low} to {high}", parse)


def list_of(pattern: str, allowed: str) -> Kind:
    """Take a comma-separated list."""

    def parse(text: str) -> tuple[str, ...]:
        if text.lower() == "none":
            return ()
        return tuple(_parse_matching(pattern, item.strip()) for item in text.split(","))

    return Kind(f"{allowed}, separated by commas, or none", parse)


REDIS_URL = Kind(
    "a URL such as redis://:password@redis:6379/0, or one of rediss:// or unix://", parse_redis_url, is_secret=True
)
BUDGET = Kind('a JSON object such as {"web": 30, "worker-default": 8}', parse_budget)
SWITCH = Kind("1, true, yes, on, 0, false, no or off", _parse_switch)
# Made absolute at once, because gunicorn and RQ may change the directory later.
PATH = Kind("a path", lambda text: Path(_parse_matching(r"[^\0]+", text)).absolute())
