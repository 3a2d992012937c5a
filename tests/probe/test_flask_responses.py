"""The Flask probe leaves responses as they are, and counts each at its end."""

from __future__ import annotations

import contextvars
import io
from collections.abc import Iterator
from typing import Any

import flask
import pytest
from flask import Response
from werkzeug.wsgi import FileWrapper

from tests.probe.web import ask, serve
from ullage.probe.process import current_work

pytestmark = pytest.mark.usefixtures("measured")


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
