"""The Flask probe: which requests are counted, and under what."""

from __future__ import annotations

import threading
import urllib.request

import flask
import pytest
from flask import Response
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.serving import make_server

from tests.probe.web import ask, make_app, serve
from ullage.probe import flask as probe
from ullage.probe.process import current_work

pytestmark = pytest.mark.usefixtures("measured")


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

    def test_a_traceback_is_the_applications_alone(self, app, caplog):
        """What Flask logs of a view that raised has no line of ours."""
        app.add_url_rule("/broken", view_func=lambda: 1 / 0)
        app.testing = False
        assert app.test_client().get("/broken").status_code == 500
        assert "ZeroDivisionError" in caplog.text
        assert "ullage/probe" not in caplog.text

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
