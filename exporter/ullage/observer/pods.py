"""Pods, and the leaks that their sidecars know of, from /leaks; what a sidecar says is checked."""

from __future__ import annotations

import http.client
import json
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ullage.metrics import LEAK_KINDS

TIMEOUT_SECONDS = 2.0
# Some 30 kB a segment that is full of leaks.
MOST_BYTES = 16 * 2**20
MOST_TEXT = 200
# Pods of one node share its clock, but not those of two.
CLOCK_SKEW_SECONDS = 60.0
_TEXTS = ("function", "site", "queue")


class SidecarError(Exception):
    """A sidecar gave no leaks."""


@dataclass(frozen=True)
class Pod:
    """A running pod that has a sidecar."""

    name: str
    uid: str
    address: str


@dataclass(frozen=True)
class Leak:
    """One leak; without a time it is that of a dead process, which is counted when the next one takes over."""

    at: float | None
    kind: str
    function: str
    site: str
    queue: str


def read_leaks(address: str, port: int, now: float | None = None) -> list[Leak]:
    """Ask the sidecar at an address; `now` is wall time."""
    connection = http.client.HTTPConnection(address, port, timeout=TIMEOUT_SECONDS)
    try:
        connection.request("GET", "/leaks")
        response = connection.getresponse()
        body = response.read(MOST_BYTES + 1)
    except (OSError, http.client.HTTPException) as error:
        raise SidecarError(f"{address} port {port}: {type(error).__name__}: {error}") from None
    finally:
        connection.close()
    if response.status != 200:
        raise SidecarError(f"{address} port {port}: /leaks answers {response.status} {response.reason}")
    if len(body) > MOST_BYTES:
        raise SidecarError(f"{address} port {port}: /leaks has more than {MOST_BYTES} bytes")
    return list(_parse(body, f"{address} port {port}", time.time() if now is None else now))


def _parse(body: bytes, source: str, now: float) -> Iterator[Leak]:
    try:
        page = json.loads(body)
    except (ValueError, RecursionError):
        page = None
    entries = page.get("leaks") if isinstance(page, dict) else None
    if not isinstance(entries, list):
        raise SidecarError(f"{source}: /leaks is not what ullage serves")
    for entry in entries:
        if isinstance(entry, dict) and entry.get("kind") in LEAK_KINDS and _is_time(entry.get("time"), now):
            yield Leak(entry.get("time"), entry["kind"], *(_text(entry.get(key)) for key in _TEXTS))


def _is_time(at: Any, now: float) -> bool:
    return at is None or (isinstance(at, float) and math.isfinite(at) and 0 < at < now + CLOCK_SKEW_SECONDS)


def _text(value: Any) -> str:
    text = value if isinstance(value, str) else ""
    return "".join(character if character.isprintable() else "?" for character in text[:MOST_TEXT])
