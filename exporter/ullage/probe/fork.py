"""Connections across a fork: a child must not use, reset or close its parent's.

A preloaded RQ worker, `gunicorn --preload` and `with app.app_context(): worker.work()` hand their pools to their
children. What a child then sends on an inherited socket reaches the parent's session on the server; closing it ends the
parent's connection. So in the child, without any I/O: pools are emptied, and connections that were out at the fork are
taken away from whoever holds them, who get new ones.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from sqlalchemy.engine import Engine
from sqlalchemy.pool import Pool

_POOL_OF_RECORD = "_ConnectionRecord__pool"
# Kept for the child's life: some drivers say good-bye to the server when a connection is collected.
_inherited: list[Any] = []


def leave_to_parent(pools: Iterable[tuple[Pool, Engine | None, Iterable[Any]]]) -> None:
    """Make the child forget its parent's connections.

    Called in the child, right after the fork, with each pool, its engine where that is known, and the records that were
    checked out.
    """
    taken = []
    for pool, engine, records in pools:
        grave = pool.recreate()
        vars(grave)["_do_return_conn"] = _inherited.append
        for record in list(records):
            taken += _take_away(record, grave)
        _renew(pool, engine)
    if taken:
        _end_transactions(taken)


def _take_away(record: Any, grave: Pool) -> list[Any]:
    """Separate a checked-out record, and whoever holds it, from the DBAPI connection; return the holder.

    It will be returned to `grave`, since a thread that the child lacks may have locked its pool's queue at the fork.
    """
    setattr(record, _POOL_OF_RECORD, grave)
    connection = record.dbapi_connection if hasattr(record, "dbapi_connection") else record.connection
    _inherited.append((record, connection))
    fairy = record.fairy_ref() if record.fairy_ref is not None else None
    for holder in (record, fairy):
        if holder is not None:
            # 1.4 before 1.4.24 calls it so; what SQLAlchemy takes for invalidated needs no rollback and no close.
            setattr(holder, "dbapi_connection" if hasattr(holder, "dbapi_connection") else "connection", None)
    return [fairy] if fairy is not None else []


def _renew(pool: Pool, engine: Engine | None) -> None:
    """Give the engine a pool of its own, as `dispose(close=False)` does, which SQLAlchemy before 1.4.33 lacks."""
    if engine is None:  # it may have one, or be used without: the pool itself begins anew
        fresh = vars(pool.recreate())
        _inherited.append(dict(vars(pool)))
        vars(pool).clear()
        vars(pool).update(fresh)
        return
    _inherited.append(pool)
    if engine.pool is not pool:
        return
    try:
        engine.dispose(close=False)
    except TypeError:
        engine.pool = pool.recreate()


def _end_transactions(taken: list[Any]) -> None:
    """Roll back the sessions that lost their connection; it costs no I/O, and they take a new one when used.

    Without it, a job in the child that uses its parent's `db.session` would get PendingRollbackError.
    """
    orm = sys.modules.get("sqlalchemy.orm.session")
    for session in list(orm._sessions.values()) if orm else []:
        transaction = getattr(session, "_transaction", None)
        connections = [entry[0] for entry in getattr(transaction, "_connections", {}).values()]
        lost = any(getattr(connection, "_dbapi_connection", None) in taken for connection in connections)
        if lost:
            with suppress(Exception):
                session.rollback()
