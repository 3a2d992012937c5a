"""The Flask probe counts connections that are still out when a request ends."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import flask
import pytest
from flask import Flask, Response
from sqlalchemy import text

from tests.probe.web import ask, serve
from ullage.probe.process import current_work

LEAKS = "sqlalchemy_unreleased_sessions_total"

pytestmark = pytest.mark.usefixtures("measured")


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
