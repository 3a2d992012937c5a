"""What happens between `ullage worker` and the first job: preload, close what that opened, share the memory."""

from __future__ import annotations

import functools
import gc
import sys
import time
import traceback
from collections.abc import Callable
from importlib import import_module
from typing import Any

from rq.utils import utcparse

from ullage.settings import PRELOAD_AUTO, WorkerSettings
from ullage.worker.heartbeat import Heartbeat
from ullage.worker.preload import PreloadError, load, load_waiting


def prepare_before_work(base: Any, settings: WorkerSettings, heartbeat: Heartbeat | None) -> None:
    """Make every RQ worker of this process, of whatever class below `base`, prepare itself when it begins to work."""
    work: Callable[..., Any] = base.work

    @functools.wraps(work)
    def prepared(worker: Any, *args: Any, **kwargs: Any) -> Any:
        if heartbeat:
            heartbeat.follow(worker)
        _warm_rq()
        try:
            _preload(worker, settings.preload)
        except PreloadError as error:
            _explain(error)
            sys.exit(1)
        _close_idle_connections()
        # The collector writes to the objects that it visits, and each page that it touches is copied for the horse.
        gc.collect()
        gc.freeze()
        return work(worker, *args, **kwargs)

    base.work = prepared


def _preload(worker: Any, names: tuple[str, ...]) -> None:
    started = time.monotonic()
    loaded = [load(name) for name in names if name != PRELOAD_AUTO]
    if PRELOAD_AUTO in names:
        loaded += load_waiting(worker)
    if loaded:
        worker.log.info("Preloaded %s in %.2f s", ", ".join(loaded), time.monotonic() - started)
    elif names:
        worker.log.info(
            "Preloaded nothing, as no job is waiting that tells what: each job will import its own code; "
            "name the application's modules with --preload MODULE"
        )


def _warm_rq() -> None:
    """Import and compile what RQ would in every horse anew, for milliseconds: its results, and Python's dates."""
    import_module("rq.results")
    utcparse("2000-01-01T00:00:00.000000Z")


def _explain(error: PreloadError) -> None:
    if error.cause is not None:
        traceback.print_exception(type(error.cause), error.cause, error.cause.__traceback__)
    print(f"ullage worker: {error}", file=sys.stderr)


def _close_idle_connections() -> None:
    """Close what preloading left in connection pools: no horse may use it, and it would idle for the worker's life."""
    if not sys.modules.get("sqlalchemy"):
        return
    from sqlalchemy.engine import Engine
    from sqlalchemy.pool import QueuePool

    # Not isinstance, which asks proxies such as Flask's for their class, outside any context.
    for engine in [thing for thing in gc.get_objects() if issubclass(type(thing), Engine)]:
        pool = engine.pool
        if type(pool) is QueuePool and pool.checkedin():
            engine.dispose()
