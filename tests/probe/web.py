"""A Flask application of one view, and requests to it by Werkzeug's client or as a server calls it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask import Flask
from werkzeug.test import TestResponse, create_environ


def make_app(name: str = "shop", rule: str = "/orders/<int:number>") -> Flask:
    """Make an application with one view."""
    app = Flask(name)
    app.add_url_rule(rule, "show", lambda **_: "an order", methods=["GET", "POST"])
    return app


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
