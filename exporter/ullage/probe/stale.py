"""Stale connections: "MySQL server has gone away" and its kin, by code, by what found them, and what became of them.

A stale connection is found by a pre-ping, by a statement (the user sees the error), or not at all: one failed ping or
statement makes the pool replace, unasked, every connection older than it. A replacement before the user noticed is a
retry; it is counted once, with its outcome.
"""

from __future__ import annotations

import sys
import time
from typing import Any

from sqlalchemy import exc

from ullage import metrics as m
from ullage.probe.process import Process

# Marks a DBAPI connection that was counted; `record.info` is cleared when the record gets another.
_COUNTED = "ullage_stale"
_PING = ("do_ping", "_do_ping_w_event")
_STATEMENT = "_handle_dbapi_exception"


def code_of(error: BaseException) -> str:
    """Return the server's or driver's code: 2006 of PyMySQL's args, PostgreSQL's SQLSTATE, else the class's name."""
    for name in ("sqlstate", "pgcode"):
        code = getattr(error, name, None)
        if code:
            return str(code)
    first = error.args[0] if error.args else None
    return str(first) if isinstance(first, int) else type(error).__name__


class Stale:
    """The stale connections of one pool. Records whose replacement is under way are remembered by identity."""

    def __init__(self, engine: str, process: Process) -> None:
        self._engine = engine
        self._process = process
        self._code = "none"
        self._replaced: set[int] = set()

    def asked(self, error: BaseException, connection: Any, caller: str) -> None:
        """Called when the dialect has said that `error` means a lost connection; `caller` is who asked it."""
        self._code = code_of(error)
        if caller != _STATEMENT:
            return  # a ping: counted when its connection is invalidated; or a failed connect, which was never pooled
        info = getattr(connection, "info", None)
        if info is None or _COUNTED in info:
            return
        info[_COUNTED] = True
        self._count("statement")

    def invalidated(self, record: Any, exception: BaseException | None) -> None:
        """Called before a connection is closed as unusable."""
        if not isinstance(exception, exc.DisconnectionError):
            return  # a statement's error, counted when the dialect was asked; or the application's own wish
        if not isinstance(exception, exc.InvalidatePoolError):
            self._code = type(exception).__name__  # raised by a checkout listener that pings on its own
        self._count("pre_ping")
        self._replaced.add(id(record))

    def pool_invalidated(self, record: Any) -> None:
        """Called before a connection is replaced because another was found stale."""
        self._count("pool_invalidation")
        self._replaced.add(id(record))

    def connected(self, record: Any, outcome: str) -> None:
        """Called when a record got a connection, or failed to: the end of a retry, if it was one."""
        if id(record) in self._replaced:
            self._replaced.discard(id(record))
            self._add(m.POOL_RETRIES, self._engine, outcome)

    def _count(self, detected_by: str) -> None:
        self._add(m.POOL_STALE, self._engine, self._code, detected_by)

    def _add(self, metric: m.Metric, *labels: str) -> None:
        writer = self._process.writer
        index = writer.counter(metric, *labels)
        writer.words[index] += 1.0


class _IsDisconnect:
    """Stand in for one dialect's `is_disconnect`.

    SQLAlchemy 1.4 fires no event for a failed ping, and 2.x passes none of its codes on; every version asks here.
    """

    def __init__(self, original: Any) -> None:
        self._original = original
        self.stale: Stale | None = None

    def __call__(self, error: Any, connection: Any, cursor: Any) -> bool:
        answer: bool = self._original(error, connection, cursor)
        if answer and self.stale is not None:
            try:
                self.stale.asked(error, connection, sys._getframe(1).f_code.co_name)
            except Exception as own:  # noqa: BLE001 - what is not the probe's is raised again
                self.stale._process.swallow("pool", own)
        return answer


def watch(dialect: Any, stale: Stale) -> None:
    """Tell `stale` what this dialect takes for a lost connection. A recreated pool takes over from the one before."""
    asked = getattr(dialect, "is_disconnect", None)
    if asked is None:
        return  # a pool without an engine
    if not isinstance(asked, _IsDisconnect):
        asked = _IsDisconnect(asked)
        dialect.is_disconnect = asked
    asked.stale = stale


def close_reason(pool: Any, record: Any, names: list[str]) -> str:
    """Return why SQLAlchemy closes a connection, from the names of its functions on the stack, innermost first."""
    for name in names:
        if name == "get_connection":
            return _recycle_reason(pool, record)
        if name == "_do_return_conn":
            return "overflow" if hasattr(pool, "_max_overflow") else "returned"
        if name in _REASONS:
            return _REASONS[name]
    return "other"


_REASONS = {"invalidate": "invalidated", "dispose": "disposed", "_cleanup": "overflow"}


def _recycle_reason(pool: Any, record: Any) -> str:
    """Compare as SQLAlchemy's get_connection does, in its order."""
    if pool._recycle > -1 and time.time() - record.starttime > pool._recycle:
        return "recycled"
    return "pool_invalidated" if pool._invalidate_time > record.starttime else "soft_invalidated"
