"""Sessions that jobs forget, and sessions that they do not."""

from __future__ import annotations

import gc

from sqlalchemy import text
from sqlalchemy.orm import Session

from tests.promises.leak_zoo.expect import innocent, leaks
from tests.promises.leak_zoo.places import KEPT, ONE, Order, engine, keep, new_registry, new_session, second_engine

GLOBAL = Session(engine)
never_removed, never_committed, removed, added_to = (new_registry() for _ in range(4))


class JobError(Exception):
    """Raised by jobs that are to fail."""


@leaks()
def exception_before_close() -> None:
    session = new_session()
    session.execute(ONE)  # <- here
    raise JobError("before close()")
    session.close()


@leaks()
def session_in_a_global() -> None:
    GLOBAL.execute(ONE)  # <- here


@leaks()
def session_by_get() -> None:
    new_session().get(Order, 1)  # <- here


@leaks()
def scoped_session_not_committed() -> None:
    never_committed.execute(ONE)  # <- here


@leaks()
def two_engines() -> None:
    keep(Session(engine)).execute(ONE)  # <- here
    keep(Session(second_engine)).execute(ONE)  # <- here


@leaks()
def one_session_on_two_engines() -> None:
    session = keep(Session())
    session.execute(ONE, bind_arguments={"bind": engine})  # <- here
    session.execute(ONE, bind_arguments={"bind": second_engine})  # <- here


@leaks()
def nested_sessions() -> None:
    with Session(engine) as outer:
        outer.execute(ONE)
        inner = new_session()
        inner.execute(ONE)  # <- here


@leaks()
def savepoint_left_open() -> None:
    session = new_session()
    session.begin_nested()
    session.execute(ONE)  # <- here


@leaks()
def flushed_and_not_committed() -> None:
    session = new_session()
    session.add(Order())
    session.flush()  # <- here


@leaks()
def streaming_result() -> None:
    session = new_session()
    rows = session.execute(ONE.execution_options(yield_per=1))  # <- here
    keep(rows).first()


def _rows():
    with Session(engine) as session:
        yield from session.execute(text("SELECT 1 UNION SELECT 2"))  # <- here


@leaks(at=_rows)
def generator_not_exhausted() -> None:
    next(keep(_rows()))


@leaks()
def reference_cycle() -> None:
    session = Session(engine)
    session.execute(ONE)  # <- here
    del session
    gc.freeze()  # the cycle of a session and its transaction is collected at some time, or later


@leaks(kind="reclaimed_by_gc")
def reference_cycle_collected() -> None:
    gc.unfreeze()
    gc.collect()
    session = Session(engine)
    session.execute(ONE)  # <- here
    del session
    gc.collect()


@leaks(level="dirty")
def add_without_commit() -> None:
    new_session().add(Order())  # <- here


@leaks(level="dirty")
def scoped_add_without_commit() -> None:
    added_to.add(Order())  # <- here


@leaks(level="dirty")
def add_after_commit() -> None:
    session = new_session()
    session.execute(ONE)
    session.commit()
    session.add(Order())  # <- here


@leaks()
def reused_after_close() -> None:
    session = new_session()
    session.execute(ONE)
    session.close()
    session.execute(ONE)  # <- here


@leaks(level="dirty")
def last_of_many() -> None:
    for _ in range(20):
        with Session(engine) as session:
            session.execute(ONE)
        del session
    new_session().add(Order())  # <- here


@leaks(level="lingering")
def scoped_session_never_removed() -> None:
    never_removed.execute(ONE)  # <- here
    never_removed.commit()


@innocent
def session_in_with() -> None:
    with Session(engine) as session:
        session.add(Order())
        session.commit()


@innocent
def exception_in_with() -> None:
    with Session(engine) as session:
        session.execute(ONE)
        raise JobError("in with")


@innocent
def closed_in_finally() -> None:
    session = Session(engine)
    try:
        session.execute(ONE)
        raise JobError("before finally")
    finally:
        session.close()


@innocent
def scoped_session_removed() -> None:
    try:
        removed.add(Order())
        removed.commit()
        removed.execute(ONE)
    finally:
        removed.remove()


@innocent
def nested_sessions_closed() -> None:
    with Session(engine) as outer, Session(second_engine) as inner:
        outer.execute(ONE)
        with inner.begin_nested():
            inner.execute(ONE)


@innocent
def generator_dropped() -> None:
    rows = _rows()
    next(rows)
    del rows


@innocent
def streaming_result_exhausted() -> None:
    with Session(engine) as session:
        list(session.execute(ONE.execution_options(yield_per=1)))


@innocent
def session_never_used() -> None:
    KEPT.append(Session(engine))


@innocent
def closed_and_kept() -> None:
    session = new_session()
    session.execute(ONE)
    session.close()
