"""At the end of a job: what it did not release is counted, and released or failed as the policy says."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from ullage.leaks import CHAIN, ENGINE, KEPT, LEVEL, OPEN, WORK
from ullage.metrics import LEVELS
from ullage.policy import Policies, UnreleasedSessionError
from ullage.probe.process import Process, Work
from ullage.probe.session import Unreleased, connections_of, unreleased
from ullage.segment.layout import SCRATCH

KIND = "held_at_job_end"


class Judge:
    """Judge one job. `decorated` is the policy that its function bears, if any."""

    def __init__(self, process: Process, policies: Policies, work: Work, decorated: str | None) -> None:
        self._process = process
        self._policies = policies
        self._work = work
        self._decorated = decorated
        self._counted: set[int] = set()  # sessions, by id
        self._queue, _, self._function = process.writer.text(work.label_id).partition("\n")

    def fail(self) -> None:
        """Called when the function has returned: raise UnreleasedSessionError if a leak is under `strict`."""
        held = [self._chain(slot) for slot in self._process.held_by(self._work)]
        dirty = [self._process.writer.text(found.chain) for found in self._sessions() if found.level == "dirty"]
        for what, chains in (("a connection", held), ("objects that were not committed", dirty)):
            for chain in chains:
                if self._policy(chain) == "strict":
                    self.finish()
                    raise UnreleasedSessionError(self._explain(what, chain))

    def finish(self) -> None:
        """Count every leak once, and release what the policy says."""
        sessions = self._sessions()
        reclaimed = []
        for slot in self._process.held_by(self._work):
            policy = self._policy(self._chain(slot))
            if policy == "ignore":
                self._keep(slot)
                continue
            self._process.leaks.count(slot, KIND, self._work.job_id)
            if policy in ("reclaim", "strict"):
                reclaimed.append(slot)
        for found in sessions:
            policy = self._policy(self._process.writer.text(found.chain))
            if found.level != "leaked" and policy != "ignore" and id(found.session) not in self._counted:
                self._count_session(found)
            self._counted.add(id(found.session))
            if policy in ("reclaim", "strict") and found.level != "lingering":
                release(found.session)
        self._invalidate(reclaimed)

    def _sessions(self) -> list[Unreleased]:
        return unreleased(self._work.sessions or {})

    def _chain(self, slot: int) -> str:
        return self._process.writer.text(self._process.writer.words[slot + CHAIN])

    def _policy(self, chain: str) -> str:
        """Return the policy at a call site; a site that is named anywhere among the callers counts."""
        sites = chain.split("\n")
        default = self._policies.of(self._queue, self._function, sites[0], self._decorated)
        named = (self._policies.of_site(site) for site in sites)
        return next((policy for policy in named if policy), default)

    def _explain(self, what: str, chain: str) -> str:
        site = chain.partition("\n")[0] or "a place that is not known"
        return (
            f"{self._function} returned without releasing {what}, checked out at {site}; close the session there "
            "(with Session() as session: ..., or Session.remove() in a finally), or mark the function with "
            "@ullage.policy('ignore') if it is kept on purpose"
        )

    def _keep(self, slot: int) -> None:
        words = self._process.writer.words
        if words[slot] == OPEN:
            words[slot] = KEPT

    def _count_session(self, found: Unreleased) -> None:
        """Count a session that holds no connection, through a slot of its own."""
        writer, words = self._process.writer, self._process.writer.words
        slot = writer.take_slot()
        if slot == SCRATCH:
            return
        words[slot + ENGINE] = float(writer.intern(_engine_of(found.session), reserved=True))
        words[slot + CHAIN] = found.chain
        words[slot + WORK] = self._work.label_id
        words[slot + LEVEL] = float(LEVELS.index(found.level))
        words[slot] = OPEN
        self._process.leaks.count(slot, KIND, self._work.job_id)
        self._process.leaks.returned(slot)

    def _invalidate(self, slots: list[int]) -> None:
        """Close connections that are still out and belong to no session: their owner may still use them."""
        for fairy in self._process.fairies_of(self._work, slots):
            with suppress(Exception):
                fairy.invalidate()


def release(session: Any) -> None:
    """Roll back and return a session's connections; where that fails, close them."""
    connections = connections_of(session)
    if any(connection.dialect.is_async for connection in connections):
        return  # its event loop is gone: the connection is invalidated instead
    try:
        session.close()
    except Exception:  # noqa: BLE001 - the server may be gone, or a listener of the application may raise
        with suppress(Exception):
            session.invalidate()


def _engine_of(session: Any) -> str:
    """Return the label of a session's engine, '' when it is bound to none or to several."""
    pool = getattr(getattr(session, "bind", None), "pool", None)
    state = getattr(pool, "_ullage_state", None)
    return state.engine if state is not None else ""
