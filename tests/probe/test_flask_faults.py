"""The Flask probe's own mistakes, and what an application does to its process."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask

from tests.probe.web import ask, serve
from ullage.probe import flask as probe

LEAKS = "sqlalchemy_unreleased_sessions_total"

pytestmark = pytest.mark.usefixtures("measured")


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
