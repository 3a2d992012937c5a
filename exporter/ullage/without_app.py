"""Flask-SQLAlchemy's extension outside an application context: its own engines and sessions, without an application.

The extension makes the engines itself, from a stand-in for the application, so that they are those of the web side,
with every default and override. Flask-SQLAlchemy 2 then takes the stand-in wherever no application is current. In
version 3, `engines` and the registry of `session` insist on a context: these two are replaced, on this one instance,
by what asks them inside a context and has its own answer outside.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from flask import has_app_context
from sqlalchemy.engine import URL, Engine
from sqlalchemy.engine.url import make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.orm import scoped_session
from sqlalchemy.util import ScopedRegistry

# On the extension, so that it goes with it.
_STAND_IN = "_ullage_stand_in"
_lock = threading.Lock()


class StandIn:
    """What Flask-SQLAlchemy reads of an application."""

    import_name = "ullage"
    debug = testing = False
    # Relative SQLite paths would be joined to these; they are refused before.
    root_path = instance_path = os.sep

    def __init__(self, config: dict[str, Any]) -> None:
        # The extension adds its defaults to the one; the next call of `use` is compared with the other.
        self.config = dict(config)
        self.given = config
        self.extensions: dict[str, Any] = {}

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(
            f"init_app() of this SQLAlchemy asks for the application's {name!r}, and ullage.sessions.use() has none; "
            "leave that to the code that builds the application"
        )

    def teardown_appcontext(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Take what is to be called at the end of each context: there will be none."""
        return function

    shell_context_processor = teardown_appcontext


class Registry(ScopedRegistry):  # type: ignore[type-arg]  # SQLAlchemy 1.4's is not generic
    """The registry that was there inside an application context, one session a thread outside."""

    def __init__(self, inside: Any, outside: scoped_session[Any]) -> None:
        self.createfunc, self.scopefunc, self.registry = inside.createfunc, inside.scopefunc, inside.registry
        self._inside = inside
        self.outside = outside

    def _current(self) -> Any:
        return self._inside if has_app_context() else self.outside.registry

    def __call__(self) -> Any:
        """Return the scope's session, made when there is none."""
        return self._current()()

    def has(self) -> bool:
        """Say whether the scope has a session."""
        return bool(self._current().has())

    def set(self, obj: Any) -> None:
        """Give the scope a session."""
        self._current().set(obj)

    def clear(self) -> None:
        """Forget the scope's session."""
        self._current().clear()


def detach(db: Any, url: str | URL | None, binds: Mapping[str, Any] | None, options: dict[str, Any]) -> list[Any]:
    """Make `db` usable outside an application context, and return the scoped sessions that jobs are to release."""
    config = _config(url, binds, options)
    with _lock:
        known = vars(db).get(_STAND_IN)
        if known is None:
            _stand_in(db, config)
        elif known.given != config:
            raise ValueError(
                "ullage.sessions.use() was called for this SQLAlchemy before, with another database or other options; "
                "call it in one place, such as the top of the module with the tasks"
            )
    registry = db.session.registry
    return [registry.outside, db.session] if isinstance(registry, Registry) else [db.session]


def engines_of(db: Any) -> list[Engine]:
    """Return the engines that `db` has made for use outside an application context."""
    stand_in = vars(db)[_STAND_IN]
    if _is_version_2(db):
        made = [connector._engine for connector in stand_in.extensions["sqlalchemy"].connectors.values()]
        return [engine for engine in made if engine is not None]
    return list(db._app_engines[stand_in].values())


def _is_version_2(db: Any) -> bool:
    return not hasattr(db, "_app_engines")


def _stand_in(db: Any, config: dict[str, Any]) -> None:
    if _is_version_2(db) and db.app is not None:
        raise ValueError(
            "this SQLAlchemy was made with its application, SQLAlchemy(app), and needs no context: "
            "call ullage.sessions.use(db.session)"
        )
    stand_in = StandIn(config)
    db.init_app(stand_in)
    if _is_version_2(db):
        db.app = stand_in
    else:
        _replace_engines(db, stand_in)
        _replace_registry(db.session)
    vars(db)[_STAND_IN] = stand_in


def _replace_engines(db: Any, stand_in: StandIn) -> None:
    """Make the instance one of a subclass of its class, because `engines` is a property of that."""
    kind: Any = type(db)

    def engines(self: Any) -> Any:
        return kind.engines.fget(self) if has_app_context() else self._app_engines[stand_in]

    body = {"engines": property(engines), "__module__": kind.__module__, "__qualname__": kind.__qualname__}
    db.__class__ = type(kind.__name__, (kind,), body)


def _replace_registry(session: scoped_session[Any]) -> None:
    """Replace a registry by context; one of the application's own choice stays, as it may need none."""
    scope = getattr(session.registry, "scopefunc", None)
    if str(getattr(scope, "__module__", "")).startswith("flask_sqlalchemy"):
        session.registry = Registry(session.registry, scoped_session(session.session_factory))


def _config(url: str | URL | None, binds: Mapping[str, Any] | None, options: dict[str, Any]) -> dict[str, Any]:
    """Return the application's configuration as Flask-SQLAlchemy names it."""
    if url is None and not binds:
        raise ValueError('there is no database to connect to: call use(db, url=os.environ["DATABASE_URL"])')
    config: dict[str, Any] = {"SQLALCHEMY_ENGINE_OPTIONS": options, "SQLALCHEMY_TRACK_MODIFICATIONS": False}
    if url is not None:
        config["SQLALCHEMY_DATABASE_URI"] = _checked(url, "url")
    if binds:
        config["SQLALCHEMY_BINDS"] = {key: _checked_bind(value, f"binds[{key!r}]") for key, value in binds.items()}
    return config


def _checked_bind(value: Any, name: str) -> Any:
    if isinstance(value, Mapping):
        return {**value, "url": _checked(value.get("url", ""), f"{name}['url']")}
    return _checked(value, name)


def _checked(url: str | URL, name: str) -> URL:
    try:
        found = make_url(url)
    except ArgumentError:  # it may show the password
        raise ValueError(f"{name} is no database URL: want for example mysql+pymysql://user:password@host/db") from None
    path = (found.database or "").removeprefix("file:")
    if found.get_backend_name() == "sqlite" and path not in ("", ":memory:") and not Path(path).is_absolute():
        raise ValueError(
            f"{name} names the file {path!r}, which Flask-SQLAlchemy looks for in the application's instance folder; "
            "without an application it must be an absolute path: sqlite:////srv/shop/instance/shop.db"
        )
    return found
