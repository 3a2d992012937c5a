"""The Flask probe compares X-Forwarded-For with the number of proxies that is configured."""

from __future__ import annotations

import pytest
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.middleware.proxy_fix import ProxyFix

from tests.probe.web import ask, make_app

HOPS = "flask_forwarded_hops_total"
CLIENT, PROXY = "203.0.113.7", "10.0.0.1"

pytestmark = pytest.mark.usefixtures("measured")


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
