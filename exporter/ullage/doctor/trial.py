"""Run in an interpreter that is started as the application's is: import its libraries, and say what came of it.

The doctor passes this file's text to `python -c`, so it has the whole application's path, and nothing of the doctor's.
It writes no segment. It imports the libraries, never the application.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable
from typing import Any

MARKER = "ullage-doctor: "
LIBRARIES = ("sqlalchemy", "flask", "werkzeug", "rq")
IMPORTED = ("sqlalchemy", "sqlalchemy.orm", "flask", "rq")
# What others wrap: module, and the name in it.
WRAPPED = (
    ("sqlalchemy", "create_engine"),
    ("sqlalchemy.engine", "Engine.connect"),
    ("sqlalchemy.pool", "Pool.connect"),
    ("flask", "Flask"),
    ("flask", "Flask.__call__"),
    ("flask", "Flask.wsgi_app"),
    ("flask", "Flask.preprocess_request"),
    ("rq.worker", "Worker.perform_job"),
    ("rq.queue", "Queue.enqueue_job"),
)
NO_ONE = {"ullage", "sqlalchemy", "flask", "rq", "werkzeug", "wrapt", "functools", "contextlib", "builtins", ""}


def run(root: str, distributions: list[str], packages: list[str]) -> dict[str, Any]:
    """Return what became of the injection, the libraries and the probes in this process."""
    names = ("_ullage_sitecustomize", "_ullage_usercustomize")
    ours = [sys.modules[name] for name in names if name in sys.modules]
    found: dict[str, Any] = {
        "python": ".".join(map(str, sys.version_info[:3])),
        "implementation": sys.implementation.name,
        "free_threaded": not getattr(sys, "_is_gil_enabled", lambda: True)(),
        "is_injected": bool(ours),
        "root": getattr(ours[0], "root", "") if ours else "",
        "reason": getattr(ours[0], "reason", "") if ours else "",
        "customize": [path for path in map(_customize, ("sitecustomize", "usercustomize")) if path],
        "copies": _copies(),
        "is_importable": False,
        "versions": _versions(LIBRARIES),
        "observers": _versions(distributions),
        "loaded": [name for name in packages if name in sys.modules],
        "package": "",
        "version": "",
        "error": "",
        "imports": {},
        "probes": {},
        "wraps": {},
    }
    try:
        _measure(found, root)
    except Exception as error:  # noqa: BLE001 - what is wrong here is what was asked for
        found["error"] = f"{type(error).__name__}: {error}"
    return found


def _customize(name: str) -> str:
    module = sys.modules.get(name)
    if module is None or module in (sys.modules.get("_ullage_sitecustomize"), sys.modules.get("_ullage_usercustomize")):
        return ""
    return getattr(module, "__file__", None) or ""


def _copies() -> list[str]:
    """Return each package that `import ullage` could find, in the order of the path."""
    found: list[str] = []
    for entry in sys.path:
        path = os.path.realpath(os.path.join(entry or os.curdir, "ullage"))  # noqa: PTH118
        if path not in found and os.path.isfile(os.path.join(path, "__init__.py")):  # noqa: PTH113, PTH118
            found.append(path)
    return found


def _versions(names: Iterable[str]) -> dict[str, str]:
    from importlib import metadata

    found = {}
    for name in names:
        try:
            found[name] = metadata.version(name)
        except Exception:  # noqa: BLE001, S112 - a damaged distribution is one that is not there
            continue
    return found


def _measure(found: dict[str, Any], root: str) -> None:
    from importlib.util import find_spec

    if sys.version_info < (3, 10) or sys.implementation.name != "cpython":
        return
    found["is_importable"] = find_spec("ullage") is not None
    if not found["is_importable"]:
        sys.path.append(root)
    import ullage

    if not hasattr(ullage, "__path__"):
        found["error"] = f"{ullage.__file__} is another module of that name"
        return
    found["package"], found["version"] = next(iter(ullage.__path__)), ullage.__version__
    from ullage.inject import report
    from ullage.probe import process
    from ullage.settings import probe_settings

    class Unwritten(process.Process):
        """This process, with no segment."""

        def _try_claim(self) -> None:
            return None

    settings = probe_settings(os.environ, lambda _: None)
    if not settings.enabled:
        return
    # Before any library, so that the hook finds it and claims no segment.
    process.start(settings, Unwritten)
    for name in IMPORTED:
        found["imports"][name] = _import(name)
    if not found["is_injected"]:
        ullage.install()
    said = report()
    found["probes"] = dict(said.probes)
    found["error"] = said.reason
    found["wraps"] = {
        f"{module}.{name}": _wrappers(module, name) for module, name in WRAPPED if _wrappers(module, name)
    }


def _import(name: str) -> str:
    """Return what is wrong with a library, '' when nothing is, and 'missing' where it is not there."""
    try:
        __import__(name)
    except ModuleNotFoundError as error:
        if error.name == name.partition(".")[0]:
            return "missing"
        return f"{type(error).__name__}: {error}"
    except BaseException as error:  # noqa: BLE001 - a library may do anything when it is imported
        return f"{type(error).__name__}: {error}"
    return ""


def _wrappers(module: str, name: str) -> list[str]:
    """Return the packages other than its own that stand around a function or class."""
    target: Any = sys.modules.get(module)
    for part in name.split("."):
        target = getattr(target, part, None)
    found: list[str] = []
    for _ in range(20):
        if target is None:
            break
        for layer in (target, getattr(target, "_self_wrapper", None)):
            package = _package_of(layer)
            if package not in NO_ONE and package not in found:
                found.append(package)
        target = getattr(target, "__wrapped__", None)
    return found


def _package_of(layer: object) -> str:
    if isinstance(layer, type):
        return layer.__module__.partition(".")[0]
    names = getattr(layer, "__globals__", None)
    if names is None:
        names = getattr(getattr(layer, "__func__", None), "__globals__", {})
    return str(names.get("__name__", "")).partition(".")[0]


if __name__ == "__main__":
    given = json.loads(sys.argv[1])
    print("\n" + MARKER + json.dumps(run(**given)))
    sys.stdout.flush()
    # What other injectors would do at the end, such as sending what they have measured, is not wanted here.
    os._exit(0)
