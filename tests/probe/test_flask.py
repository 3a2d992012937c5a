"""The Flask probe through Werkzeug's test client and through a bare WSGI server's eyes."""

from __future__ import annotations

import contextvars
import io
import os
import threading
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import flask
import pytest
from flask import Flask, Response
from sqlalchemy import create_engine, text
from sqlalchemy.pool import QueuePool
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.serving import make_server
from werkzeug.test import TestResponse, create_environ
from werkzeug.wsgi import FileWrapper

from tests.probe.conftest import Measured
from ullage.probe import flask as probe
from ullage.probe.process import current_work

REQUESTS = "flask_requests_total"
HOPS = "flask_forwarded_hops_total"
LEAKS = "sqlalchemy_unreleased_sessions_total"
CLIENT, PROXY = "203.0.113.7", "10.0.0.1"

pytestmark = pytest.mark.usefixtures("measured")


def make_app(name: str = "shop", rule: str = "/orders/<int:number>") -> Flask:
    """Make an application with one view."""
    app = Flask(name)
    app.add_url_rule(rule, "show", lambda **_: "an order", methods=["GET", "POST"])
    return app


@pytest.fixture
def app() -> Flask:
    """Give an application with one view."""
    return make_app()


@pytest.fixture
def requests(measured: Measured) -> Callable[[], dict[tuple[str, str, str], float]]:
    """Give a function that returns the requests counted, by method, route and status."""

    def read() -> dict[tuple[str, str, str], float]:
        samples = {}
        for family in measured.collector.collect():
            for sample in family.samples:
                if sample.name == REQUESTS and sample.value:
                    labels = sample.labels
                    samples[labels["method"], labels["route"], labels["status"]] = sample.value
        return samples

    return read


@pytest.fixture
def connect(tmp_path) -> Iterator[Callable[[], Any]]:
    """Give a function that checks a connection out."""
    engine = create_engine(
        f"sqlite:///{tmp_path}/shop.db",
        poolclass=QueuePool,
        pool_logging_name="shop",
        connect_args={"check_same_thread": False},
    )
    yield engine.connect
    engine.dispose()


def ask(app: Flask, path: str, method: str = "GET", **options: Any) -> TestResponse:
    """Send a request by Werkzeug's client, to the end of its response."""
    return app.test_client().open(path, method=method, buffered=True, **options)


def serve(app: Any, path: str = "/", **environ: Any) -> tuple[Any, list[Any]]:
    """Call the application as a server does; give the iterable and what `start_response` got."""
    started: list[Any] = []

    def start_response(*arguments: Any) -> Callable[[bytes], None]:
        started.append(arguments)
        return started.append

    return app({**create_environ(path), **environ}, start_response), started


class TestLabels:
    """What a request is counted under."""

    def test_the_route_is_the_rule(self, app, requests):
        """Two orders are two requests of one rule."""
        for number in (1, 2):
            ask(app, f"/orders/{number}")
        assert requests() == {("GET", "/orders/<int:number>", "200"): 2}

    @pytest.mark.parametrize(
        ("method", "path", "counted"),
        [
            ("GET", "/nowhere", ("GET", "unmatched", "404")),
            ("DELETE", "/orders/1", ("DELETE", "unmatched", "405")),
            ("BREW", "/orders/1", ("other", "unmatched", "405")),
            ("HEAD", "/orders/1", ("HEAD", "/orders/<int:number>", "200")),
            ("POST", "/orders/1", ("POST", "/orders/<int:number>", "200")),
        ],
        ids=["no rule", "no such method", "no known method", "HEAD", "POST"],
    )
    def test_what_a_client_makes_up_is_no_label(self, app, requests, method, path, counted):
        """Paths and methods that the application does not know share one label each."""
        ask(app, path, method=method)
        assert requests() == {counted: 1}

    def test_an_exception_that_leaves_the_application_is_a_500(self, app, requests):
        """A server answers 500 for an exception, and so it is counted."""
        app.testing = True
        app.add_url_rule("/broken", "broken", lambda: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            ask(app, "/broken")
        assert requests() == {("GET", "/broken", "500"): 1}
        assert current_work.get() is None

    def test_the_duration_is_counted_with_the_request(self, app, measured):
        """Each request is in the histogram, with the time that it took."""
        ask(app, "/orders/1")
        labels = {"method": "GET", "route": "/orders/<int:number>", "status": "200"}
        assert measured.value("flask_request_duration_seconds_count", **labels) == 1
        assert 0 < measured.value("flask_request_duration_seconds_sum", **labels) < 5


class TestCoverage:
    """Which applications are seen, and that none is seen twice."""

    def test_middleware_around_wsgi_app_is_inside(self, app, requests):
        """An application in its own ProxyFix counts each request once."""
        app.wsgi_app = ProxyFix(app.wsgi_app)
        ask(app, "/orders/1")
        assert requests() == {("GET", "/orders/<int:number>", "200"): 1}

    def test_wsgi_app_served_alone_is_seen(self, app, requests):
        """Serving `app.wsgi_app` instead of `app` changes nothing."""
        response, _ = serve(app.wsgi_app, "/orders/1")
        response.close()
        assert requests() == {("GET", "/orders/<int:number>", "200"): 1}

    def test_a_second_install_is_a_no_op(self, app, measured, requests):
        """Whoever installs again, even another copy of ullage, wraps nothing twice."""
        assert probe.install(measured.process) is None
        ask(app, "/orders/1")
        assert requests() == {("GET", "/orders/<int:number>", "200"): 1}

    def test_an_application_mounted_in_another_counts_its_own_requests(self, app, requests):
        """A request goes to the application that answers it, not to the one that only passed it on."""
        app.wsgi_app = DispatcherMiddleware(app.wsgi_app, {"/admin": make_app("admin", "/users")})
        ask(app, "/admin/users")
        ask(app, "/orders/1")
        assert requests() == {("GET", "/users", "200"): 1, ("GET", "/orders/<int:number>", "200"): 1}

    def test_an_application_that_calls_another_gets_its_work_back(self, app, requests):
        """After the inner request the outer one goes on under its own name."""
        inner = make_app("inner", "/inner")
        seen = []

        @app.get("/outer")
        def outer() -> Response:
            answer = Response.from_app(inner, {**flask.request.environ, "PATH_INFO": "/inner"})
            answer.get_data()
            answer.close()
            seen.append(current_work.get().route)
            return answer

        ask(app, "/outer")
        assert seen == ["/outer"]
        assert requests() == {("GET", "/inner", "200"): 1, ("GET", "/outer", "200"): 1}
        assert current_work.get() is None


class TestResponses:
    """The response is the application's, byte for byte and call for call."""

    def test_a_stream_is_measured_until_it_is_closed(self, app, requests):
        """A streaming response counts when the server closes it, and not before."""
        app.add_url_rule("/stream", "stream", lambda: Response(part for part in ("a", "b")))
        response, _ = serve(app, "/stream")
        assert list(response) == [b"a", b"b"]
        assert requests() == {}
        response.close()
        assert requests() == {("GET", "/stream", "200"): 1}

    def test_close_reaches_the_response_once(self, app, requests):
        """The response's own clean-up runs once, and the request counts once."""
        closed = []

        @app.get("/closing")
        def closing() -> Response:
            response = Response("x")
            response.call_on_close(lambda: closed.append(True))
            return response

        response, _ = serve(app, "/closing")
        assert b"".join(response) == b"x"
        response.close()
        assert closed == [True]
        assert requests() == {("GET", "/closing", "200"): 1}

    def test_an_error_in_close_is_the_servers_to_see(self, app, requests):
        """What the response's clean-up raises goes through, and the request still counts."""

        @app.get("/closing")
        def closing() -> Response:
            response = Response("x")
            response.call_on_close(lambda: 1 / 0)
            return response

        response, _ = serve(app, "/closing")
        with pytest.raises(ZeroDivisionError):
            response.close()
        assert requests() == {("GET", "/closing", "200"): 1}

    def test_a_stream_that_breaks_off_keeps_its_status(self, app, requests):
        """An exception inside a stream reaches the server; the status was sent before."""
        app.add_url_rule("/stream", "stream", lambda: Response(str(1 // number) for number in (1, 0)))
        response, _ = serve(app, "/stream")
        assert next(response) == b"1"
        with pytest.raises(ZeroDivisionError):
            next(response)
        response.close()
        assert requests() == {("GET", "/stream", "200"): 1}

    def test_a_response_that_nobody_closes_counts_when_it_is_dropped(self, app, requests):
        """Middleware that forgets `close` hides no request and keeps none alive."""
        response, _ = serve(app, "/orders/1")
        assert b"".join(response) == b"an order"
        assert requests() == {}
        del response
        assert requests() == {("GET", "/orders/<int:number>", "200"): 1}
        assert current_work.get() is None

    def test_a_response_closed_in_another_context_counts(self, app, requests):
        """A server that closes elsewhere than it called leaves nothing behind for the next request."""
        response, _ = serve(app, "/orders/1")
        contextvars.Context().run(response.close)
        ask(app, "/orders/2")
        assert requests() == {("GET", "/orders/<int:number>", "200"): 2}
        assert current_work.get() is None

    @pytest.mark.parametrize("kind", [list, tuple], ids=lambda kind: kind.__name__)
    def test_a_list_stays_a_list(self, app, requests, kind):
        """Servers send a list of one part with its length: it is handed through and counts at once."""
        app.wsgi_app = lambda environ, start_response: (start_response("204 No Content", []), kind([b""]))[1]
        response, _ = serve(app)
        assert type(response) is kind
        assert requests() == {("GET", "unmatched", "204"): 1}

    @pytest.mark.parametrize(
        ("wrapper", "kind"),
        [(FileWrapper, FileWrapper), (lambda file, size=8192: file, io.BytesIO)],
        ids=["a class", "a function, as uWSGI's"],
    )
    def test_a_file_is_left_to_the_server(self, app, requests, wrapper, kind):
        """The server finds its own file object, which it may send by sendfile, and the request counts."""

        @app.get("/file")
        def file() -> Response:
            return flask.send_file(io.BytesIO(b"content"), mimetype="text/plain")

        response, _ = serve(app, "/file", **{"wsgi.file_wrapper": wrapper})
        assert type(response) is kind
        assert b"".join(response) == b"content"
        assert requests() == {("GET", "/file", "200"): 1}

    def test_a_stream_is_watched_whatever_the_servers_file_wrapper(self, app, requests):
        """A uWSGI server's file function does not end the measuring of a stream early."""
        response, _ = serve(app, "/orders/1", **{"wsgi.file_wrapper": lambda file, size=8192: file})
        assert requests() == {}
        response.close()
        assert requests() == {("GET", "/orders/<int:number>", "200"): 1}

    def test_start_response_is_handed_through(self, app, requests):
        """exc_info, a second start and the write callable work; the last status is the one that counts."""
        exc_info = (ValueError, ValueError("late"), None)

        def wsgi_app(environ: Any, start_response: Any) -> Iterator[bytes]:
            start_response("200 OK", [])
            write = start_response("503 Service Unavailable", [("A", "b")], exc_info)
            write(b"written")
            yield b"yielded"

        app.wsgi_app = wsgi_app
        response, started = serve(app)
        assert list(response) == [b"yielded"]
        response.close()
        assert started == [("200 OK", []), ("503 Service Unavailable", [("A", "b")], exc_info), b"written"]
        assert requests() == {("GET", "unmatched", "503"): 1}

    def test_an_iterator_can_be_read_by_next(self, app):
        """Code that asks a response for its first part, without iter(), gets it."""
        response, _ = serve(app, "/orders/1")
        assert next(response) == b"an order"
        response.close()

    def test_a_response_without_a_start_has_no_status(self, app, requests):
        """A response that nobody read has no status to count."""
        app.wsgi_app = lambda environ, start_response: (part for part in ())
        response, _ = serve(app)
        response.close()
        assert requests() == {("GET", "unmatched", "none"): 1}


class TestHeldConnections:
    """Connections that are still out when the response is finished."""

    def test_a_leak_is_named_by_its_route(self, app, measured, connect):
        """A connection that a view keeps is counted once, with the rule as its function."""
        kept = []

        @app.get("/leak/<name>")
        def leak(name: str) -> str:
            kept.append(connect())
            return name

        ask(app, "/leak/a")
        assert measured.by(LEAKS, "function") == {"/leak/<name>": 1}
        assert measured.by(LEAKS, "kind") == {"held_at_request_end": 1}
        ask(app, "/leak/b")
        assert measured.by(LEAKS, "function") == {"/leak/<name>": 2}
        for connection in kept:
            connection.close()
        assert measured.by(LEAKS, "kind") == {"held_at_request_end": 2}

    def test_a_connection_that_is_returned_is_no_leak(self, app, measured, connect):
        """A view that closes its connection is not counted."""

        @app.get("/query")
        def query() -> str:
            with connect() as connection:
                return str(connection.scalar(text("SELECT 1")))

        assert ask(app, "/query").text == "1"
        assert measured.by(LEAKS, "kind") == {}

    def test_a_stream_may_use_its_connection_until_it_is_closed(self, app, measured, connect):
        """A generator that reads rows while it is sent holds no connection past the end."""

        def rows() -> Iterator[str]:
            with connect() as connection:
                yield from (f"{row[0]}" for row in connection.execute(text("SELECT 1 UNION SELECT 2")))

        app.add_url_rule("/rows", "rows", lambda: Response(rows()))
        response, _ = serve(app, "/rows")
        assert next(iter(response)) == b"1"
        response.close()
        assert measured.by(LEAKS, "kind") == {}

    def test_a_connection_checked_out_before_the_dispatch_is_named_too(self, app, measured, connect):
        """What a session store takes before the rule is known gets the rule's name when it is found to leak."""
        kept = []

        class Interface(flask.sessions.SessionInterface):
            def open_session(self, app: Flask, request: flask.Request) -> flask.sessions.SecureCookieSession:
                kept.append(connect())
                return flask.sessions.SecureCookieSession()

            def save_session(self, *arguments: Any) -> None: ...

        app.session_interface = Interface()
        ask(app, "/orders/1")
        assert measured.by(LEAKS, "function") == {"/orders/<int:number>": 1}
        kept[0].close()

    def test_an_ended_request_keeps_nothing_of_it_alive(self, app, connect):
        """A leaked connection refers to its request, and the request to none of the application's objects."""
        kept = []
        ended = []

        @app.get("/leak")
        def leak() -> str:
            kept.append(connect())
            ended.append(current_work.get())
            return ""

        ask(app, "/leak")
        assert (ended[0].app, ended[0].environ, ended[0].previous) == (None, None, None)
        kept[0].close()


class TestHops:
    """X-Forwarded-For beside the number of proxies that is configured."""

    @pytest.mark.parametrize(
        ("configured", "header", "seen"),
        [
            (0, None, "expected"),
            (0, CLIENT, "more"),
            (1, None, "missing"),
            (1, "", "missing"),
            (1, CLIENT, "expected"),
            (1, f"{CLIENT}, {PROXY}", "more"),
            (2, CLIENT, "fewer"),
            (2, f"{CLIENT}, {PROXY}", "expected"),
            (2, f"{CLIENT}, ,", "fewer"),
        ],
    )
    def test_hops_are_compared_with_the_setting(self, app, measured, configured, header, seen):
        """The number of addresses is missing, fewer, expected or more."""
        measured.restart(proxy_x_for=configured)
        ask(app, "/", headers={"X-Forwarded-For": header} if header is not None else {})
        assert measured.by(HOPS, "seen") == {seen: 1}

    def test_a_proxy_fix_of_the_application_comes_first(self, app, measured):
        """The application's own ProxyFix is what is in force, not the setting."""
        measured.restart(proxy_x_for=1)
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=2)
        ask(app, "/", headers={"X-Forwarded-For": f"{CLIENT}, {PROXY}"})
        ask(app, "/", headers={"X-Forwarded-For": CLIENT})
        assert measured.by(HOPS, "seen") == {"expected": 1, "fewer": 1}

    def test_a_proxy_fix_is_found_behind_other_middleware(self, app, measured):
        """The chain of `.app` is followed."""
        app.wsgi_app = DispatcherMiddleware(ProxyFix(app.wsgi_app, x_for=1))
        ask(app, "/", headers={"X-Forwarded-For": CLIENT})
        assert measured.by(HOPS, "seen") == {"expected": 1}

    def test_requests_from_inside_the_cluster_are_left_out(self, app, measured):
        """A probe comes through no proxy and says nothing about the hops."""
        measured.restart(proxy_x_for=1, probe_paths=("/livez",))
        ask(app, "/livez")
        ask(app, "/orders/1", headers={"User-Agent": "kube-probe/1.34"})
        assert measured.by(HOPS, "seen") == {}

    def test_a_request_counts_once_however_many_applications_it_passes(self, app, measured):
        """An application mounted in another adds no hop."""
        app.wsgi_app = DispatcherMiddleware(app.wsgi_app, {"/admin": make_app("admin", "/users")})
        ask(app, "/admin/users")
        assert measured.by(HOPS, "seen") == {"expected": 1}

    def test_every_outcome_is_there_from_the_start(self, measured):
        """`increase()` sees the first request without a hop."""
        for seen in ("missing", "fewer", "expected", "more"):
            assert measured.value(HOPS, seen=seen) == 0


class TestDevelopmentServer:
    """Werkzeug's server in production."""

    def test_another_server_is_none(self, app, measured):
        """The gauge is 0 behind any other server."""
        serve(app, "/orders/1", SERVER_SOFTWARE="gunicorn/23.0")[0].close()
        assert measured.value("flask_development_server") == 0

    def test_werkzeugs_server_shows(self, app, measured, requests, wait_for):
        """A request to Werkzeug's development server sets the gauge, and is counted as any other."""
        server = make_server("127.0.0.1", 0, app, threaded=True)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{server.server_port}/orders/1") as response:
                assert response.read() == b"an order"
            wait_for(requests, what="the request")
        finally:
            server.shutdown()
            thread.join()
            server.server_close()
        assert measured.value("flask_development_server") == 1
        assert requests() == {("GET", "/orders/<int:number>", "200"): 1}


class TestFaults:
    """The probe's own mistakes, and what an application does to its process."""

    @pytest.fixture
    def broken(self, measured) -> Iterator[None]:
        """Give the probe no words to write; another is installed afterwards."""
        measured.process.probes["flask"].rebind.__self__._words = None
        yield
        delattr(Flask, probe.INSTALLED)
        probe.install(measured.process)

    def test_a_failed_probe_goes_quiet(self, app, measured, requests, broken, caplog):
        """Every request is answered, one line is logged, and nothing more is measured."""
        for _ in range(3):
            assert ask(app, "/orders/1").text == "an order"
        assert [record.message for record in caplog.records if "ullage" in record.message] == [
            "ullage: probe flask failed and measures no more: TypeError: 'NoneType' object is not subscriptable"
        ]
        assert measured.value("ullage_probe_up", probe="flask") == 0
        assert measured.value("flask_development_server") is None
        assert requests() == {}

    def test_a_timeout_in_the_probe_is_the_applications(self, app, measured, monkeypatch, requests):
        """An exception that a signal handler raises while the probe is at work reaches its owner."""

        class TimeIsUpError(Exception):
            """Raised from outside."""

        def held_by(_: Any) -> list[int]:
            raise TimeIsUpError

        with monkeypatch.context() as patch:
            patch.setattr(measured.process, "held_by", held_by)
            response, _ = serve(app, "/orders/1")
            with pytest.raises(TimeIsUpError):
                response.close()
        ask(app, "/orders/1")
        assert requests() == {("GET", "/orders/<int:number>", "200"): 1}

    def test_a_view_that_forks_keeps_its_name_in_the_child(self, app, measured, requests, connect):
        """What the child of a request checks out is named by the route, in a segment whose strings are others."""
        measured.process.writer.intern("moves the numbers of this segment's strings away from a new one's")

        @app.get("/fork")
        def fork() -> str:
            child = os.fork()
            if child == 0:
                kept = connect()
                os._exit(0 if kept else 1)
            return str(os.waitpid(child, 0)[1])

        assert ask(app, "/fork").text == "0"
        assert measured.by(LEAKS, "function") == {"/fork": 1}
        assert measured.by(LEAKS, "kind") == {"died_with_process": 1}
        assert requests() == {("GET", "/fork", "200"): 1}
