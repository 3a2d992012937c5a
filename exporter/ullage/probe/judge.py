"""At the end of a job: what it did not release is counted, and released or failed as the policy says."""

from __future__ import annotations

from typing import Any

from ullage.leaks import CHAIN, ENGINE, KEPT, LEVEL, OPEN, WORK
from ullage.metrics import LEVELS
from ullage.policy import Policies, UnreleasedSessionError
from ullage.probe.process import Process, Work
from ullage.probe.session import Unreleased, connections_of, fairy_of, unreleased
from ullage.segment.layout import SCRATCH

KIND = "held_at_job_end"
_RELEASING = frozenset({"reclaim", "strict"})


class Judge:
    """Judge one job. `decorated` is the policy that its function bears, if any."""

    def __init__(self, process: Process, policies: Policies, work: Work, decorated: str | None) -> None:
        self._process = process
        self._policies = policies
        self._work = work
        self._decorated = decorated
        self._counted: set[int] = set()  # sessions, by id
        self._queue, _, self._function = process.writer.text(work.label_id).partition("\n")

    def verdict(self) -> UnreleasedSessionError | None:
        """Called when the function has returned: return an error if a leak is under `strict`."""
        offence = self.offence()
        if offence is None:
            return None
        self.finish()
        return UnreleasedSessionError(self._explain(*offence))

    def offence(self) -> tuple[str, str] | None:
        """Return what the job holds against `strict`, and where it was checked out."""
        held = [self._chain(slot) for slot in self._process.held_by(self._work)]
        dirty = [self._process.writer.text(found.chain) for found in self._sessions() if found.level == "dirty"]
        for what, chains in (("a connection", held), ("objects that were not committed", dirty)):
            for chain in chains:
                if self._policy(chain) == "strict":
                    return what, chain
        return None

    def finish(self) -> None:
        """Count every leak once, and release what the policy says."""
        policies = {slot: self._policy(self._chain(slot)) for slot in self._process.held_by(self._work)}
        sessions = self._sessions()
        for slot, policy in policies.items():
            if policy == "ignore":
                self._keep(slot)
            else:
                self._process.leaks.count(slot, KIND, self._work.job_id)
        fairies = self._process.fairies_of(self._work, list(policies))
        for found in sessions:
            slots = _slots_of(found.session, fairies)
            self._finish_session(found, bool(slots), {policies[slot] for slot in slots})
        self._invalidate([slot for slot, policy in policies.items() if policy in _RELEASING])

    def _finish_session(self, found: Unreleased, is_leaked: bool, policies: set[str]) -> None:
        """Count a session unless its connections were, and release it where the policies of all of them say so."""
        policies = policies or {self._policy(self._process.writer.text(found.chain))}
        if not is_leaked and "ignore" not in policies and id(found.session) not in self._counted:
            self._count_session(found)
        self._counted.add(id(found.session))
        if found.level != "lingering" and policies <= _RELEASING:
            release(found.session)

    def _sessions(self) -> list[Unreleased]:
        return unreleased(self._work.sessions or {})

    def _chain(self, slot: int) -> str:
        return self._process.writer.text(self._process.writer.words[slot + CHAIN])

    def _policy(self, chain: str) -> str:
        """Return the policy at a call site: its nearest frame, as the callers are those of its first checkout alone."""
        return self._policies.of(self._queue, self._function, chain.partition("\n")[0], self._decorated)

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
        """Count a session that holds no connection of this job's, through a slot of its own."""
        writer, words = self._process.writer, self._process.writer.words
        slot = writer.take_slot()
        if slot == SCRATCH:
            return
        level = "lingering" if found.level == "lingering" else "dirty"
        words[slot + ENGINE] = float(writer.intern(_engine_of(found.session), reserved=True))
        words[slot + CHAIN] = found.chain
        words[slot + WORK] = self._work.label_id
        words[slot + LEVEL] = float(LEVELS.index(level))
        words[slot] = OPEN
        self._process.leaks.count(slot, KIND, self._work.job_id)
        self._process.leaks.returned(slot)

    def _invalidate(self, slots: list[int]) -> None:
        """Close connections that are still out and belong to no session: their owner may still use them."""
        for fairy in self._process.fairies_of(self._work, slots).values():
            try:
                fairy.invalidate()
            except Exception as error:  # noqa: BLE001 - a listener of the application may raise
                reraise_asynchronous(error)


def release(session: Any) -> None:
    """Roll back and return a session's connections; where that fails, close them."""
    try:
        for connection in connections_of(session):
            if connection.dialect.is_async:  # its event loop is gone: nothing can be sent any more
                connection.invalidate()
        session.close()
    except Exception as error:  # noqa: BLE001 - the server may be gone, or a listener of the application may raise
        try:
            session.invalidate()
        finally:
            reraise_asynchronous(error)


def reraise_asynchronous(error: Exception) -> None:
    """Raise an error again that RQ's timer raised in the midst of what raised it."""
    if type(error).__module__.partition(".")[0] == "rq":
        raise error


def _slots_of(session: Any, fairies: dict[int, Any]) -> list[int]:
    """Return the slots of the connections that a session holds."""
    held = [fairy_of(connection) for connection in connections_of(session)]
    return [slot for slot, fairy in fairies.items() if any(fairy is one for one in held)]


def _engine_of(session: Any) -> str:
    """Return the label of a session's engine, '' when it is bound to none or to several."""
    pool = getattr(getattr(session, "bind", None), "pool", None)
    state = getattr(pool, "_ullage_state", None)
    return state.engine if state is not None else ""
