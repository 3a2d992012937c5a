"""Jobs that end otherwise than by returning, with a connection in their hands; retries and callbacks."""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

from rq import Retry
from rq.job import Callback
from sqlalchemy.orm import Session

from tests.promises.leak_zoo.expect import innocent, innocent_but, leaks
from tests.promises.leak_zoo.places import ONE, engine, new_session
from tests.promises.leak_zoo.sessions import JobError

HANDED_OVER: list[Session] = []


def _run_into_the_timeout() -> None:
    """Wait for RQ's alarm, which is brought forward."""
    signal.setitimer(signal.ITIMER_REAL, 0.05)
    while True:
        signal.pause()


@leaks()
def timeout() -> None:
    session = new_session()
    session.execute(ONE)  # <- here
    _run_into_the_timeout()


@innocent
def timeout_in_with() -> None:
    with Session(engine) as session:
        session.execute(ONE)
        _run_into_the_timeout()


@leaks()
def sys_exit() -> None:
    new_session().execute(ONE)  # <- here
    sys.exit(3)


@leaks(kind="died_with_process")
def os_exit() -> None:
    new_session().execute(ONE)  # <- here
    os._exit(0)


@leaks(kind="died_with_process")
def killed() -> None:
    with Session(engine) as session:
        session.execute(ONE)  # <- here
        os.kill(os.getpid(), signal.SIGKILL)


@leaks(runs=2, enqueue={"retry": Retry(max=1)})
def retried() -> None:
    new_session().execute(ONE)  # <- here
    raise JobError("once more")


def on_success(_job: Any, _connection: Any, _result: Any) -> None:
    """Leak."""
    new_session().execute(ONE)  # <- here


@leaks(at=on_success, enqueue={"on_success": Callback(on_success)})
def success_callback_leaks() -> None:
    pass


def on_failure(_job: Any, _connection: Any, _type: Any, _value: Any, _traceback: Any) -> None:
    """Leak."""
    new_session().execute(ONE)  # <- here


@leaks(at=on_failure, enqueue={"on_failure": Callback(on_failure)})
def failure_callback_leaks() -> None:
    raise JobError("for its callback")


def close_after_success(_job: Any, _connection: Any, _result: Any) -> None:
    """Clean up."""
    HANDED_OVER.pop().close()


def close_after_failure(_job: Any, _connection: Any, _type: Any, _value: Any, _traceback: Any) -> None:
    """Clean up."""
    HANDED_OVER.pop().close()


# Under `strict` the function fails at its return, and its success callback, which would have cleaned up, never runs.
@leaks(innocent_on="callback", strict_is_early=True, enqueue={"on_success": Callback(close_after_success)})
def closed_in_success_callback() -> None:
    HANDED_OVER.append(new_session())
    HANDED_OVER[-1].execute(ONE)  # <- here


@innocent_but(on_failure=Callback(close_after_failure))
def closed_in_failure_callback() -> None:
    HANDED_OVER.append(new_session())
    HANDED_OVER[-1].execute(ONE)
    raise JobError("for its callback")


@leaks(innocent_on="perform", strict_is_early=True)
def closed_in_perform_job() -> None:
    session = new_session()
    session.execute(ONE)  # <- here
    CLOSED_IN_PERFORM.append(session)


@leaks(innocent_on="execute", strict_is_early=True)
def closed_in_execute_job() -> None:
    session = new_session()
    session.execute(ONE)  # <- here
    CLOSED_IN_EXECUTE.append(session)


# Emptied by the workers of worker.py that override perform_job or execute_job.
CLOSED_IN_PERFORM: list[Session] = []
CLOSED_IN_EXECUTE: list[Session] = []
