"""What goes wrong in production, as named switches; refused unless APP_FAULTS=1."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable

from sqlalchemy import Connection, text

from app import db
from app.validation import Check

MAX_SECONDS = 300
DEFAULT_SECONDS = 5.0

# SQLite has no sleep, and its clock stands still within a query: it counts without end, and the reader stops.
SPIN = """
WITH RECURSIVE spin(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM spin)
SELECT n FROM spin WHERE n % 10000 = 0
"""

_leaked: list[Connection] = []


class FaultsDisabledError(RuntimeError):
    """A fault was asked for and faults are switched off."""


class UnknownFaultError(LookupError):
    """No fault has this name."""


def trigger(name: str, seconds: float = DEFAULT_SECONDS, *, enabled: bool) -> None:
    """Run a fault by its name; `seconds` matters to `slow-query` and `hang` only."""
    require(name, enabled=enabled)
    FAULTS[name](seconds)


def require(name: str, *, enabled: bool) -> None:
    """Refuse faults that are switched off or that nobody knows."""
    if not enabled:
        raise FaultsDisabledError(f"fault {name!r} refused: set APP_FAULTS=1 on web and workers, never in production")
    if name not in FAULTS:
        raise UnknownFaultError(f"fault {name!r} is unknown: want one of {', '.join(FAULTS)}")


def parse_seconds(value: str | None) -> float:
    """Check a duration from a query string; none given means the default."""
    if value is None:
        return DEFAULT_SECONDS
    try:
        seconds = float(value)
    except ValueError:
        seconds = 0
    # NaN compares false with everything, so it is refused as well.
    if not 0 < seconds <= MAX_SECONDS:
        check = Check()
        check.refuse("seconds", value, f"a number above 0, at most {MAX_SECONDS}")
        check.stop()
    return seconds


def leaked_connections() -> int:
    """Count the connections that this process leaked on purpose."""
    return len(_leaked)


def release_leaked() -> int:
    """Return every leaked connection to its pool and say how many there were."""
    released = 0
    while _leaked:
        _leaked.pop().close()
        released += 1
    return released


def _slow_query(seconds: float) -> None:
    with db.engine().connect() as connection:
        dialect = connection.dialect.name
        if dialect == "sqlite":
            until = time.monotonic() + seconds
            rows = connection.execute(text(SPIN))
            while time.monotonic() < until:
                rows.fetchone()
            return
        function = "pg_sleep" if dialect == "postgresql" else "sleep"
        connection.execute(text(f"SELECT {function}(:seconds)"), {"seconds": seconds})


def _leak(_seconds: float) -> None:
    _leaked.append(db.engine().connect())


def _hang(seconds: float) -> None:
    time.sleep(min(seconds, MAX_SECONDS))


def _crash(_seconds: float) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


FAULTS: dict[str, Callable[[float], None]] = {
    "slow-query": _slow_query,
    "leak": _leak,
    "hang": _hang,
    "crash": _crash,
}
