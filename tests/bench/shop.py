"""The application that is measured, two engines, twenty routes and one query a request; and the requests to it."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

from flask import Flask
from gunicorn.config import Config
from gunicorn.http.wsgi import base_environ
from sqlalchemy import create_engine, text
from sqlalchemy.engine import Engine
from sqlalchemy.orm import scoped_session, sessionmaker
from sqlalchemy.pool import QueuePool

from ullage.probe import flask, pool
from ullage.probe.process import Process, start
from ullage.settings import probe_settings

ROUTES = 20
QUERY = text("SELECT 1")


class Shop:
    """A Flask application on two databases; even routes ask the first, odd ones the second."""

    def __init__(self, *urls: str) -> None:
        self.engines = [make_engine(url) for url in urls]
        self._sessions = [scoped_session(sessionmaker(bind=engine)) for engine in self.engines]
        self.app = Flask(__name__)
        for number in range(ROUTES):
            view = self._make_view(self._sessions[number % len(urls)])
            self.app.add_url_rule(f"/things{number}/<int:id>", f"things{number}", view)
        self.app.teardown_appcontext(self._remove_sessions)

    @classmethod
    def on_sqlite(cls, directory: Path) -> Shop:
        """Return the application on two files."""
        return cls(f"sqlite:///{directory}/shop.db", f"sqlite:///{directory}/stock.db")

    def _make_view(self, session: Any) -> Callable[[int], dict[str, object]]:
        def show(id: int) -> dict[str, object]:
            return {"id": id, "value": session.execute(QUERY).scalar()}

        return show

    def _remove_sessions(self, _error: BaseException | None) -> None:
        for session in self._sessions:
            session.remove()


def make_engine(url: str) -> Engine:
    """Return an engine with a pool of several connections, whatever the database."""
    return create_engine(url, poolclass=QueuePool)


def measured(directory: Path, role: str = "web") -> Process:
    """Install the probes in this process."""
    process = start(probe_settings({"ULLAGE_DIR": str(directory), "ULLAGE_ROLE": role}))
    pool.install(process)
    flask.install(process)
    return process


def check_probes(process: Process) -> None:
    """Make sure that what was measured is all probes at work."""
    up = {name: process.writer.words[probe.up] for name, probe in process.probes.items()}
    if process._claim is None or not up or not all(up.values()):
        raise RuntimeError(f"no segment, or a probe that is not up: {up}")


def gunicorn_environ() -> dict[str, Any]:
    """Return what Gunicorn passes for a GET behind a proxy, but for the path."""
    return {
        **base_environ(Config()),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(),
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "REQUEST_METHOD": "GET",
        "QUERY_STRING": "",
        "SCRIPT_NAME": "",
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "8000",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "REMOTE_PORT": "40000",
        "HTTP_HOST": "shop.example",
        "HTTP_ACCEPT": "application/json",
        "HTTP_USER_AGENT": "bench",
        "HTTP_X_FORWARDED_FOR": "192.0.2.1",
        "HTTP_X_FORWARDED_PROTO": "https",
    }


def request(app: Any, environ: dict[str, Any], number: int) -> None:
    """Send one request, as a server does: call, take every part, close."""
    path = f"/things{number}/7"
    response = app({**environ, "PATH_INFO": path, "RAW_URI": path}, _start_response)
    for _ in response:
        pass
    close = getattr(response, "close", None)
    if close is not None:
        close()


def _start_response(status: str, headers: object, exc_info: object = None) -> Callable[[bytes], None]:
    if not status.startswith("200"):
        raise RuntimeError(f"the measured application answered {status}")
    return _write


def _write(_data: bytes) -> None:
    raise RuntimeError("the measured application uses write()")
