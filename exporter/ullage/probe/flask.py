"""Flask's requests: count and duration by url rule, connections still out at their end, hops, the development server.

`Flask.__call__` is wrapped, and `Flask.wsgi_app` for who serves that without the application; middleware that an
application puts around its `wsgi_app` is inside. `Flask.preprocess_request` tells the url rule before the view runs, so
that what the view checks out carries it; it has returned by then, and is in no traceback of the view's.
"""

from __future__ import annotations

import functools
from bisect import bisect_left
from collections.abc import Callable, Iterable
from contextvars import ContextVar
from itertools import chain
from time import monotonic
from typing import Any

from flask import Flask
from flask import globals as flask_globals
from werkzeug.wsgi import ClosingIterator

from ullage import metrics as m
from ullage.leaks import WORK
from ullage.probe.hops import Hops
from ullage.probe.process import Probe, Process, Work, Wraps, current_work

NAME = "flask"
INSTALLED = "_ullage_installed"
UNMATCHED = "unmatched"
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"})
_SUM = len(m.REQUEST_BUCKETS) + 1
# The proxy `flask.request` costs five times as much. A Flask that has this no more passes its context on.
_context: ContextVar[Any] = getattr(flask_globals, "_cv_request", ContextVar("none"))


class Request(Work):
    """One request to one application. It refers to nothing of the request after its end: a leak outlives that."""

    __slots__ = (
        "app",
        "environ",
        "has_ended",
        "is_delegated",
        "previous",
        "route",
        "server_start_response",
        "started",
        "status",
    )

    def __init__(self, app: Flask, environ: Any, start_response: Any, previous: Work | None) -> None:
        self.job_id = self.route = self.status = ""
        self.label_id = 0.0
        self.thread = 0
        self.sessions = None
        self.app: Flask | None = app
        self.environ = environ
        self.previous = previous
        self.has_ended = self.is_delegated = False
        self.server_start_response = start_response
        self.started = monotonic()

    def start_response(self, status: str, headers: Any, exc_info: Any = None) -> Any:
        """Called by the application: note the status, and hand everything to the server."""
        self.status = status
        if exc_info is None:
            return self.server_start_response(status, headers)
        return self.server_start_response(status, headers, exc_info)


class Response(chain[bytes]):
    """A response on its way: ends its request when it is closed, or dropped by one who never closes it.

    A chain of one, because its parts then pass through it without any Python code.
    """

    __slots__ = ("iterable", "probe", "request")
    iterable: Iterable[bytes]
    probe: FlaskProbe
    request: Request

    def close(self) -> None:
        """Called by the server after the last part, or when the client has gone."""
        try:
            if hasattr(self.iterable, "close"):
                self.iterable.close()
        finally:
            self.probe.end(self.request)

    def __del__(self) -> None:
        if not self.request.has_ended:
            self.probe.end(self.request)


class FlaskProbe:
    """The probe: what happens at a request's start, at its dispatch and at its end."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self.probe = Probe(NAME, self.rebind, self.silence)
        self._hops = Hops()
        self.wraps = Wraps()

    def silence(self) -> None:
        """Take the wraps off again, and the gauge that would no longer be kept up to date."""
        self.wraps.take_off()
        self.process.writer.release_gauge(m.DEVELOPMENT_SERVER, (), self._development_server)

    def rebind(self) -> None:
        """Take the process's segment; a request that forks goes on in its child, under a number of that segment."""
        writer = self.process.writer
        self._words = writer.words
        self._cells: dict[tuple[str, str, str], tuple[int, int]] = {}
        self._label_ids: dict[str, float] = {}
        self._development_server = writer.gauge(m.DEVELOPMENT_SERVER)
        self._words[self._development_server] = 0.0
        self._server: Any = None
        self._hops.bind(writer, self.process.settings)
        request = current_work.get()
        if type(request) is Request and request.route:
            request.label_id = self._find_label_id(request.route)

    def begin(self, app: Flask, environ: dict[str, Any], start_response: Any) -> Request | None:
        """Start to measure a request."""
        if self.probe.failed:
            return None
        previous = current_work.get()
        if type(previous) is Request and not previous.has_ended:
            previous.is_delegated = True
        else:
            if type(previous) is Request:
                previous = None  # its response was closed in another context than this, in which it began
            self._hops.count(app, environ)
            server = environ.get("SERVER_SOFTWARE")
            if server is not self._server:
                self._note_server(server)
        request = Request(app, environ, start_response, previous)
        current_work.set(request)
        return request

    def _note_server(self, server: Any) -> None:
        """Called for a server's name that is not the very string of the last request, as production servers' are."""
        self._server = server
        if isinstance(server, str) and server.startswith("Werkzeug/"):
            self._words[self._development_server] = 1.0

    def dispatch(self, request: Request, context: Any) -> None:
        """Called when the url rule is known, or that there is none."""
        if context is not None:  # else it is not dispatched by Flask itself
            rule = context.request.url_rule
            request.route = route = UNMATCHED if rule is None else rule.rule
            request.label_id = self._label_ids.get(route) or self._find_label_id(route)

    def _find_label_id(self, route: str) -> float:
        label_id = self._label_ids[route] = float(self.process.writer.intern(f"\n{route}"))
        return label_id

    def app_made(self) -> None:
        """Called when an application is made: count those made in jobs."""
        work = current_work.get()
        if work is None or work.sessions is None:
            return
        writer = self.process.writer
        _, _, function = writer.text(work.label_id).partition("\n")
        cell = writer.counter(m.APPS_BUILT, function)
        writer.words[cell] += 1.0

    def watch(self, request: Request, response: Iterable[bytes], environ: dict[str, Any]) -> Iterable[bytes]:
        """Return what the server gets: the response itself if servers look at its type, else one that is watched."""
        try:
            if type(response) is ClosingIterator or not _is_for_the_server(response, environ):
                watched = Response(response)
                watched.iterable, watched.probe, watched.request = response, self, request
                return watched
        except BaseException as error:  # noqa: BLE001 - what is not the probe's is raised again
            self.process.swallow(NAME, error)
        self.end(request)
        return response

    def end(self, request: Request) -> None:
        """Count a request, once."""
        if request.has_ended:
            return
        request.has_ended = True
        try:
            seconds = monotonic() - request.started
            if current_work.get() is request:
                current_work.set(request.previous)
            held = self.process.held_by(request)
            if held:
                self._count_held(request, held)
            # An application that only handed the request on to another one, mounted in it, has answered none.
            if request.is_delegated and not request.route:
                return
            key = (request.environ["REQUEST_METHOD"], request.route, request.status[:3])
            requests, durations = self._cells.get(key) or self._find_cells(key)
            words = self._words
            bucket = durations + bisect_left(m.REQUEST_BUCKETS, seconds)
            total = durations + _SUM
            words[requests] += 1.0
            words[bucket] += 1.0
            words[total] += seconds
        except BaseException as error:  # noqa: BLE001 - what is not the probe's is raised again
            self.process.swallow(NAME, error)
        finally:
            request.app = request.environ = request.previous = request.server_start_response = None

    def _find_cells(self, key: tuple[str, str, str]) -> tuple[int, int]:
        """Find the cells of a request; a client's own method is never a key, or it could fill the memory."""
        method, route, status = key
        known = method in METHODS
        labels = (method if known else "other", route or UNMATCHED, status or "none")
        writer = self.process.writer
        cells = (writer.counter(m.REQUESTS, *labels), writer.counter(m.REQUEST_DURATION, *labels))
        if known:
            self._cells[key] = cells
        return cells

    def _count_held(self, request: Request, slots: list[int]) -> None:
        for slot in slots:
            if not self._words[slot + WORK]:
                self._words[slot + WORK] = request.label_id  # made before the dispatch, as a session store does
            self.process.leaks.count(slot, "held_at_request_end")


def install(process: Process) -> FlaskProbe | None:
    """Instrument every Flask application, those made before included; None when that is done already."""
    if INSTALLED in Flask.__dict__:
        return None
    setattr(Flask, INSTALLED, True)
    probe = FlaskProbe(process)
    process.add(probe.probe)
    probe.wraps.put_on(Flask, "__call__", functools.partial(_wrap_entry, probe=probe))
    probe.wraps.put_on(Flask, "wsgi_app", functools.partial(_wrap_inner_entry, probe=probe))
    probe.wraps.put_on(Flask, "preprocess_request", functools.partial(_wrap_preprocess, probe=probe))
    probe.wraps.put_on(Flask, "__init__", functools.partial(_wrap_init, probe=probe))
    return probe


def _wrap_entry(original: Callable[..., Any], probe: FlaskProbe) -> Callable[..., Any]:
    def serve(self: Flask, environ: dict[str, Any], start_response: Any) -> Any:
        request = None
        try:
            request = probe.begin(self, environ, start_response)
        except BaseException as error:  # noqa: BLE001 - what is not the probe's is raised again
            probe.process.swallow(NAME, error)
        if request is None:
            return original(self, environ, start_response)
        try:
            response = original(self, environ, request.start_response)
        except BaseException:
            request.status = "500"
            probe.end(request)
            raise
        return probe.watch(request, response, environ)

    return serve


def _wrap_inner_entry(original: Callable[..., Any], probe: FlaskProbe) -> Callable[..., Any]:
    serve = _wrap_entry(original, probe)

    def wsgi_app(self: Flask, environ: dict[str, Any], start_response: Any) -> Any:
        request = current_work.get()
        if type(request) is Request and request.environ is environ and request.app is self:
            return original(self, environ, start_response)
        return serve(self, environ, start_response)

    return wsgi_app


def _wrap_preprocess(original: Callable[..., Any], probe: FlaskProbe) -> Callable[..., Any]:
    def preprocess_request(self: Flask, *args: Any, **kwargs: Any) -> Any:
        request = current_work.get()
        if type(request) is Request and request.app is self:
            try:
                probe.dispatch(request, args[0] if args else _context.get(None))
            except BaseException as error:  # noqa: BLE001 - what is not the probe's is raised again
                probe.process.swallow(NAME, error)
        return original(self, *args, **kwargs)

    return preprocess_request


def _wrap_init(original: Callable[..., Any], probe: FlaskProbe) -> Callable[..., Any]:
    def initialize(self: Flask, *args: Any, **kwargs: Any) -> None:
        try:
            probe.app_made()
        except BaseException as error:  # noqa: BLE001 - what is not the probe's is raised again
            probe.process.swallow(NAME, error)
        original(self, *args, **kwargs)

    return initialize


def _is_for_the_server(response: Iterable[bytes], environ: dict[str, Any]) -> bool:
    """Say whether servers look at the response's type: a list, whose length they send, or their own kind of file."""
    if isinstance(response, (list, tuple, bytes)):
        return True
    wrapper = environ.get("wsgi.file_wrapper")
    if isinstance(wrapper, type):
        return isinstance(response, wrapper)
    # uWSGI's is a function that returns the file itself.
    return wrapper is not None and hasattr(response, "read")
