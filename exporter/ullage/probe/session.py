"""SQLAlchemy's ORM sessions: which of them a job began, and what they still hold when it ends."""

from __future__ import annotations

import sys
import weakref
from dataclasses import dataclass
from threading import get_ident
from typing import Any

from sqlalchemy import event
from sqlalchemy.orm import Session

from ullage.probe.process import Process, current_work

NAME = "session"
INSTALLED = "_ullage_installed"


@dataclass(frozen=True)
class Begun:
    """A session that a job began to use, and the call site of its first transaction."""

    session: weakref.ref[Session]
    chain: float


@dataclass(frozen=True)
class Unreleased:
    """A session that is still there at the end of its job."""

    session: Session
    level: str
    chain: float


def install(process: Process) -> None:
    """Listen to every session's transactions; does nothing the second time."""
    if INSTALLED in Session.__dict__:
        return
    setattr(Session, INSTALLED, True)

    def after_transaction_create(session: Session, transaction: Any) -> None:
        """Called when a session begins, its first query or `add()` included; for savepoints too."""
        work = current_work.get()
        if work is None or work.sessions is None:
            return
        try:
            if work.thread == get_ident() and id(session) not in work.sessions:
                # Before the rest: what follows may be interrupted, and an unnamed session is better than a missed one.
                work.sessions[id(session)] = Begun(weakref.ref(session), 0.0)
                chain = process.sites.of(sys._getframe(1))
                work.sessions[id(session)] = Begun(weakref.ref(session), chain)
        except Exception as error:  # noqa: BLE001 - what is not the probe's is raised again
            process.swallow(NAME, error)

    event.listen(Session, "after_transaction_create", after_transaction_create)


def unreleased(begun: dict[int, Begun]) -> list[Unreleased]:
    """Return the sessions of a job that were not released, with what is wrong with each."""
    found = []
    for entry in list(begun.values()):
        session = entry.session()
        if session is not None:
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
