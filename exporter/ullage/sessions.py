"""Sessions for RQ jobs without a Flask application: released at the end of every job, whatever the job did.

`use(Session)` takes SQLAlchemy's own `scoped_session`, `use(db, url)` Flask-SQLAlchemy's extension. Both work whether
or not anything is measured: what a job may rely on must not depend on a probe.
"""

from __future__ import annotations

import functools
import logging
import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib import import_module
from typing import Any

from sqlalchemy.engine import URL
from sqlalchemy.orm import scoped_session
from sqlalchemy.util import ScopedRegistry

from ullage.probe.fork import leave_to_parent

__all__ = ["released", "use"]

log = logging.getLogger("ullage")

INSTALLED = "_ullage_sessions_installed"

# Both only grow, under the lock: `use` is called by modules.
_sessions: list[Any] = []
_extensions: list[Any] = []
_lock = threading.Lock()
# Of the parent, kept for a forked child's life: collecting a session closes its connection.
_inherited: list[Any] = []


def use(
    target: Any,
    url: str | URL | None = None,
    *,
    binds: Mapping[str, Any] | None = None,
    **engine_options: Any,
) -> None:
    """Release the sessions of `target` at the end of every RQ job; a second call with the same arguments does nothing.

    Args:
        target: a `scoped_session`, or a `flask_sqlalchemy.SQLAlchemy`, whose `session`, `engine`, `engines` and
            `Model.query` then work outside an application context too. Inside one nothing changes.
        url: for Flask-SQLAlchemy, what the application has as SQLALCHEMY_DATABASE_URI.
        binds: what it has as SQLALCHEMY_BINDS.
        engine_options: what it has as SQLALCHEMY_ENGINE_OPTIONS, such as `pool_pre_ping=True`.

    Raises:
        TypeError: `target` is neither, or its kind does not take these arguments.
        ValueError: there is no database to connect to, or `target` is in use with another one.
    """
    if _is_flask_sqlalchemy(target):
        from ullage.without_app import detach

        _add(detach(target, url, binds, engine_options), target)
    elif isinstance(target, scoped_session):
        if url is not None or binds is not None or engine_options:
            raise TypeError("a scoped_session has an engine of its own: sessionmaker(bind=create_engine(url))")
        _refuse_in_context(target)
        _add([target])
    else:
        raise TypeError(
            f"{type(target).__name__} is neither a scoped_session nor a flask_sqlalchemy.SQLAlchemy; "
            "make one by scoped_session(sessionmaker(bind=engine))"
        )
    _hook_rq()


@contextmanager
def released() -> Iterator[None]:
    """Release this thread's sessions at the end: a `with` block or a decorator for what is not an RQ job."""
    try:
        yield
    finally:
        release()


def release() -> None:
    """Remove this thread's session of everything in use; what goes wrong is logged, as the work is done by then."""
    errors = [error for session in tuple(_sessions) if (error := _remove(session)) is not None]
    for error in errors:
        if type(error).__module__.partition(".")[0] == "rq":  # a job's timeout, which RQ's timer raises anywhere
            raise error
        log.warning("ullage: a session could not be rolled back, and was dropped: %s: %s", type(error).__name__, error)


def _remove(session: Any) -> Exception | None:
    try:
        session.remove()
    except Exception as error:  # noqa: BLE001 - the server may be gone, or a listener of the application may raise
        with suppress(Exception):
            session.registry().invalidate()
        with suppress(Exception):
            session.registry.clear()
        return error
    return None


def _add(sessions: list[Any], extension: Any = None) -> None:
    with _lock:
        if not _sessions:
            os.register_at_fork(after_in_child=_leave_to_parent)
        _sessions.extend(session for session in sessions if session not in _sessions)
        if extension is not None and extension not in _extensions:
            _extensions.append(extension)


def _leave_to_parent() -> None:
    """Called in a forked child: its first session is a new one, as releasing its parent's would roll that back."""
    global _lock
    _lock = threading.Lock()
    for session in _sessions:
        with suppress(Exception):
            if session.registry.has():
                _inherited.append(session.registry())
                session.registry.clear()
    for extension in _extensions:
        from ullage.without_app import engines_of

        leave_to_parent((engine.pool, engine, ()) for engine in engines_of(extension))


def _refuse_in_context(session: Any) -> None:
    """Flask-SQLAlchemy 3's session raises outside an application context, `remove()` included."""
    scope = getattr(session.registry, "scopefunc", None)
    if getattr(scope, "__module__", "") == "flask_sqlalchemy.session" and type(session.registry) is ScopedRegistry:
        raise TypeError("db.session needs an application context: call ullage.sessions.use(db, url) with db itself")


def _is_flask_sqlalchemy(target: Any) -> bool:
    """Look it up where it is loaded already: who has no Flask-SQLAlchemy must not need it."""
    module = sys.modules.get("flask_sqlalchemy")
    return module is not None and isinstance(target, module.SQLAlchemy)


def _hook_rq() -> None:
    """Release at the end of every job that a worker performs, before the probe judges it where there is one."""
    try:
        worker = import_module("rq.worker")
    except ImportError:
        return
    with _lock:
        # RQ 3 has perform_job in BaseWorker, RQ 1 and 2 in Worker.
        for kind in (worker.BaseWorker, worker.Worker):
            if "perform_job" in kind.__dict__ and INSTALLED not in kind.__dict__:
                setattr(kind, INSTALLED, True)
                kind.perform_job = _releasing(kind.perform_job)
    _tell_probe()


def _releasing(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def perform_job(*args: Any, **kwargs: Any) -> Any:
        # The first time as well: the job before may have been the one that imported the module which calls `use`.
        release()
        _tell_probe()
        try:
            return original(*args, **kwargs)
        finally:
            release()

    return perform_job


def _tell_probe() -> None:
    """Have the probe release too: what a worker's subclass does after `super().perform_job()` is part of the job."""
    module = sys.modules.get("ullage.probe.process")
    process = module._process if module else None
    if process is not None and release not in process.after_job:
        process.after_job.append(release)
