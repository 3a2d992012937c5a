"""Import the application in the parent, once, so that a job costs a fork rather than an import."""

from __future__ import annotations

import inspect
import sysconfig
import traceback
from collections.abc import Callable, Iterator
from functools import reduce
from importlib import import_module
from pathlib import Path
from typing import Any

from redis.exceptions import RedisError

from ullage.worker.stop import StopRequest

# Jobs looked at for their functions, at each end of each queue: it must not take longer than what it saves.
WAITING_JOBS = 25
_OWN_DIRECTORY = str(Path(__file__).parent)
_LIBRARIES = ("site-packages", "dist-packages")


class PreloadError(Exception):
    """A module or a callable could not be preloaded; the text names it and the failing line."""

    def __init__(self, message: str, cause: BaseException | None = None) -> None:
        super().__init__(message)
        self.cause = cause


def load(name: str) -> str:
    """Import `module` or `module:callable`, call the callable, and return the name; raise PreloadError on failure."""
    path, _, attribute = name.removesuffix("()").partition(":")
    module = _attempt(name, lambda: import_module(path))
    if attribute:
        found = _attempt(name, lambda: reduce(getattr, attribute.split("."), module))
        _require_callable(name, found)
        _attempt(name, found)
    return name


def load_waiting(worker: Any) -> list[str]:
    """Import the functions of jobs that wait in the worker's queues; what fails is a warning, its job will tell."""
    loaded: dict[str, None] = {}
    seen: set[str] = set()
    for job in _waiting_jobs(worker):
        try:
            name = str(job.func_name)
            if name in seen:
                continue
            seen.add(name)
            function = job.func
        except StopRequest:
            raise
        except (Exception, SystemExit) as error:  # noqa: BLE001 - any code of the application's may run here
            worker.log.warning("Not preloaded: the function of job %s: %s", job.id, describe(error))
        else:
            loaded[str(getattr(function, "__module__", name))] = None
    return list(loaded)


def _waiting_jobs(worker: Any) -> Iterator[Any]:
    for queue in worker.queues:
        try:
            newest, oldest = queue.get_job_ids(-WAITING_JOBS, WAITING_JOBS), queue.get_job_ids(0, WAITING_JOBS)
        except RedisError as error:
            worker.log.warning("Cannot look for functions to preload in queue %s: %s", queue.name, error)
            return
        # One by one, since arguments may be large.
        for job_id in dict.fromkeys([*oldest, *newest]):
            try:
                yield worker.job_class.fetch(job_id, connection=worker.connection, serializer=worker.serializer)
            except Exception as error:  # noqa: BLE001 - deleted meanwhile, or undecodable: the job's own matter
                worker.log.debug("Job %s tells nothing to preload: %s", job_id, error)


def _attempt(name: str, action: Callable[[], Any]) -> Any:
    try:
        return action()
    except StopRequest:
        raise
    except (Exception, SystemExit) as error:  # noqa: BLE001 - any code of the application's runs here
        raise PreloadError(f"cannot preload {name}: {describe(error)}", error) from None


def _require_callable(name: str, found: Any) -> None:
    module = name.partition(":")[0]
    problem = "" if callable(found) else f"it is of type {type(found).__name__}"
    if not problem:
        try:
            inspect.signature(found).bind()
        except TypeError as error:
            problem = str(error)
        except ValueError:
            return  # a builtin without a signature: calling it will tell
    if problem:
        raise PreloadError(
            f"cannot preload {name}: it cannot be called without arguments ({problem}); "
            f"to import it only, name the module: --preload {module}"
        )


def describe(error: BaseException) -> str:
    """Return what was raised and at which line of the application, else of a library."""
    what = f"{type(error).__name__}: {error}".rstrip(": ")
    place = _place(error)
    if place:
        return f"{what}; raised at {place}"
    if isinstance(error, ModuleNotFoundError):
        return f"{what}; name its parent directory with --path"
    return what


def _place(error: BaseException) -> str:
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}:{error.lineno}"
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not _is_machinery(frame.filename)]
    frames = [frame for frame in frames if not _is_library(frame.filename)] or frames
    return f"{frames[-1].filename}:{frames[-1].lineno} in {frames[-1].name}" if frames else ""


def _is_machinery(filename: str) -> bool:
    importlib = str(Path(sysconfig.get_path("stdlib")) / "importlib")
    return filename.startswith(("<frozen importlib", importlib, _OWN_DIRECTORY))


def _is_library(filename: str) -> bool:
    parts = Path(filename).parts
    return filename.startswith(sysconfig.get_path("stdlib")) or any(name in parts for name in _LIBRARIES)
