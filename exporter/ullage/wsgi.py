"""The Gunicorn entry, `gunicorn ullage.wsgi:app`: the application that ULLAGE_APP names, measured, behind ProxyFix.

`app` is made when it is first asked for, so that importing this module does nothing.
"""

from __future__ import annotations

import difflib
import inspect
import logging
import os
import sys
from collections.abc import Mapping
from importlib import import_module
from types import ModuleType
from typing import Any

from werkzeug.middleware.proxy_fix import ProxyFix

import ullage
from ullage.probe.hops import expect, proxy_fix_of
from ullage.setting import SettingError, settings_of
from ullage.settings import ProbeSettings

log = logging.getLogger("ullage")

# Gunicorn ends with "App failed to load." at this status, and starts the worker again and again at any but 3 and 4.
EXIT_APP_NOT_LOADED = 4
_COUNTS = ("x_for", "x_proto", "x_host", "x_port", "x_prefix")


class EntryError(Exception):
    """ULLAGE_APP does not lead to a WSGI application."""


def __getattr__(name: str) -> Any:
    if name != "app":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        made = globals()["app"] = make_app(os.environ)
    except (SettingError, EntryError) as error:
        print(f"ullage.wsgi: {error}", file=sys.stderr, flush=True)
        raise SystemExit(EXIT_APP_NOT_LOADED) from None
    except AttributeError as error:
        # As it is, it would say that this module has no `app`, and nothing of the application's own mistake.
        raise RuntimeError(f"ULLAGE_APP could not be loaded: {error}") from error
    return made


def make_app(environ: Mapping[str, str]) -> Any:
    """Load and measure the application, and put it behind ProxyFix where a count is set.

    Raises:
        SettingError: ULLAGE_APP or a count has a value that is not allowed.
        EntryError: ULLAGE_APP is not set or leads to no application.
    """
    settings = settings_of(ProbeSettings)
    target = settings["app"].read(environ, {})
    counts = {name: settings[f"proxy_{name}"].read(environ, {}) for name in _COUNTS}
    if target is None:
        takes = settings["app"].kind.allowed
        raise EntryError(f"ULLAGE_APP is not set; set it to the application to serve, as {takes}")
    ullage.install(environ)
    return _behind_proxies(_load(target), target, counts)


def _load(target: str) -> Any:
    """Import `module:attribute` or call `module:factory()`. What the application itself raises is left as it is."""
    name, _, attribute = target.partition(":")
    factory = attribute.removesuffix("()")
    module = _import(name, target)
    found = getattr(module, factory, None)
    if found is None:
        raise EntryError(_missing(module, factory, target))
    if factory != attribute:
        found = _call(found, target)
    elif not _takes(found, {}, print):
        hint = "; if it makes the application, write it with ()" if inspect.isroutine(found) else ""
        raise EntryError(f"ULLAGE_APP={target!r} is no WSGI application but {_describe(found)}{hint}")
    return found


def _import(name: str, target: str) -> ModuleType:
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise
        raise EntryError(
            f"ULLAGE_APP={target!r}: there is no module {error.name!r}; looked in {', '.join(filter(None, sys.path))}"
        ) from None


def _missing(module: ModuleType, attribute: str, target: str) -> str:
    if attribute in vars(module):
        return f"ULLAGE_APP={target!r} is None when the module has been imported; name a factory, or set it there"
    names = [name for name in vars(module) if not name.startswith("_")]
    alike = difflib.get_close_matches(attribute, names)
    hint = f"it has {' and '.join(alike)}" if alike else "nothing in it has a name like that"
    return f"ULLAGE_APP={target!r}: {module.__name__} has no {attribute!r}; {hint}"


def _call(factory: Any, target: str) -> Any:
    if not callable(factory):
        raise EntryError(f"ULLAGE_APP={target!r} cannot be called: it is {_describe(factory)}; write it without ()")
    if not _takes(factory):
        raise EntryError(
            f"ULLAGE_APP={target!r} is called without arguments, and takes {inspect.signature(factory)}; "
            "name a factory that needs none"
        )
    made = factory()
    if not _takes(made, {}, print):
        raise EntryError(f"ULLAGE_APP={target!r} returned no WSGI application but {_describe(made)}")
    return made


def _takes(function: Any, *arguments: Any) -> bool:
    """Say whether a function can be called so, as far as that can be known."""
    if not callable(function):
        return False
    try:
        inspect.signature(function).bind(*arguments)
    except TypeError:
        return False
    except ValueError:
        return True  # written in C, without a signature
    return True


def _describe(value: Any) -> str:
    if inspect.isroutine(value) or inspect.isclass(value):
        return f"{type(value).__name__} {value.__name__}{inspect.signature(value)}"
    return f"a value of type {type(value).__name__}"


def _behind_proxies(app: Any, target: str, counts: dict[str, int]) -> Any:
    own = proxy_fix_of(app)
    if own is not None:
        expect(app, own.x_for)
    if not any(counts.values()):
        return app
    if own is None:
        return ProxyFix(app, **counts)
    in_force = ", ".join(f"{name}={getattr(own, name)}" for name in _COUNTS)
    log.warning("%s is in a ProxyFix of its own (%s) and gets no second one; ULLAGE_PROXY_X_* unused", target, in_force)
    return app
