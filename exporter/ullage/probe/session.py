"""SQLAlchemy's ORM sessions: which of them a job began, and what they still hold when it ends."""

from __future__ import annotations

import functools
import sys
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from threading import get_ident
from types import FrameType
from typing import TYPE_CHECKING, Any

from ullage.probe.process import Process, current_work

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

NAME = "session"
INSTALLED = "_ullage_installed"
_CLOSE = "_close_impl"
_RELEASED = "_ullage_released"


@dataclass(frozen=True)
class Begun:
    """A session that a job began to use, and the call site of its last transaction."""

    session: weakref.ref[Session]
    chain: float


@dataclass(frozen=True)
class Unreleased:
    """A session that is still there at the end of its job."""

    session: Session
    level: str
    chain: float


class SessionProbe:
    """Notes which sessions a job uses; RQ's probe asks for them when it ends."""

    def __init__(self, process: Process) -> None:
        self._process = process

    def after_transaction_create(self, session: Session, transaction: Any) -> None:
        """Called when a session begins, its first query or `add()` included; for savepoints and flushes too."""
        if transaction._parent is None:
            self._note(session, sys._getframe(1))

    def after_attach(self, session: Session, _instance: Any) -> None:
        """Called after `add()`, `delete()` and `merge()`, with which SQLAlchemy 1.4 begins no transaction."""
        if getattr(session, "_transaction", None) is None:
            self._note(session, sys._getframe(1))

    def wrap_close(self, original: Callable[..., None]) -> Callable[..., None]:
        """Wrap what close(), reset() and invalidate() call: a closed session is released, referred to or not."""

        @functools.wraps(original)
        def _close_impl(session: Session, *args: Any, **kwargs: Any) -> None:
            original(session, *args, **kwargs)
            session.__dict__[_RELEASED] = True  # whoever closes it, and wherever

        return _close_impl

    def _note(self, session: Session, frame: FrameType) -> None:
        work = current_work.get()
        if work is None or work.sessions is None or work.thread != get_ident():
            return
        try:
            session.__dict__.pop(_RELEASED, None)
            # Before the rest: what follows may be interrupted, and an unnamed session is better than a missed one.
            work.sessions[id(session)] = Begun(weakref.ref(session), 0.0)
            work.sessions[id(session)] = Begun(weakref.ref(session), self._process.sites.of(frame))
        except Exception as error:  # noqa: BLE001 - what is not the probe's is raised again
            self._process.swallow(NAME, error)


def install(process: Process) -> SessionProbe | None:
    """Listen to every session's transactions; None when that is done already."""
    # Imported late: RQ's probe asks for sessions in processes that have no SQLAlchemy, too.
    import sqlalchemy
    from sqlalchemy import event
    from sqlalchemy.orm import Session

    if INSTALLED in Session.__dict__:
        return None
    setattr(Session, INSTALLED, True)
    probe = SessionProbe(process)
    # No event tells a session that was closed from one that was committed and is still there.
    setattr(Session, _CLOSE, probe.wrap_close(getattr(Session, _CLOSE)))
    event.listen(Session, "after_transaction_create", probe.after_transaction_create)
    if sqlalchemy.__version__.startswith("1.4."):
        event.listen(Session, "after_attach", probe.after_attach)
    return probe


def unreleased(begun: dict[int, Begun]) -> list[Unreleased]:
    """Return the sessions of a job that were not released, with what is wrong with each."""
    found = []
    for entry in list(begun.values()):
        session = entry.session()
        if session is not None and _RELEASED not in session.__dict__:
            found.append(Unreleased(session, level_of(session), entry.chain))
    return found


def level_of(session: Session) -> str:
    """Return `leaked` (it holds a connection), `dirty` (objects not flushed) or `lingering` (it holds nothing)."""
    if connections_of(session):
        return "leaked"
    return "dirty" if session.new or session.dirty or session.deleted else "lingering"


def connections_of(session: Session) -> list[Any]:
    """Return the Core connections that a session's transaction, or one around it, holds."""
    transaction: Any = getattr(session, "_transaction", None)
    while getattr(transaction, "_parent", None) is not None:
        transaction = transaction._parent
    entries = getattr(transaction, "_connections", {}).values()
    # Each connection is there twice, under itself and under its engine.
    return list({id(entry[0]): entry[0] for entry in entries}.values())


def fairy_of(connection: Any) -> Any:
    """Return the pool's proxy behind a Core connection, None when it has none; 1.4 before 1.4.24 calls it otherwise."""
    return getattr(connection, "_dbapi_connection", getattr(connection, "_Connection__connection", None))
