"""Passes over the pods: real sidecar pages, a real API over TLS."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import WaitFor
from tests.observer.api_server import ApiServer, pod
from tests.observer.test_pods import sidecar
from ullage import metrics as m
from ullage.observer.cluster import Cluster
from ullage.observer.events import EventLog
from ullage.observer.leak_watch import LeakWatch
from ullage.observer.pods import Leak
from ullage.observer.reading import Reading

Watch = Callable[..., LeakWatch]


def page(*functions: str) -> bytes:
    """Return a sidecar's page with a fresh leak of each function."""
    leaks = [{"time": time.time() - 1, "kind": "held_at_job_end", "function": name} for name in functions]
    return json.dumps({"leaks": leaks}).encode()


@pytest.fixture
def watch(api: ApiServer, service_account: Path) -> Watch:
    """Give a function that returns a watch over the sidecars on a port."""
    cluster = Cluster(None, service_account, api.environ)
    return lambda port, **more: LeakWatch(cluster, EventLog(cluster), "app=shop", port, **more)


class TestPass:
    def test_leaks_become_events(self, api: ApiServer, watch: Watch) -> None:
        """Each leaking pod gets its Events, and how the pass went is told."""
        with sidecar(page("app.load", "app.save")) as port:
            api.pods = [pod("worker-1", port=port), pod("worker-2", port=port)]
            watching = watch(port)
            assert watching.readings() == {}
            watching.make_pass()
        readings = watching.readings()
        assert len(api.events) == 4
        assert {event["involvedObject"]["name"] for event in api.events.values()} == {"worker-1", "worker-2"}
        assert [readings[name].error for name in ("pods", "events")] == [None, None]
        assert readings["events"].samples == {m.LEAK_EVENTS: {(): [4.0]}}

    def test_own_pod(self, api: ApiServer, watch: Watch) -> None:
        """The observer does not ask itself."""
        with sidecar(page("app.load")) as port:
            api.pods = [pod("observer-1", port=port)]
            watching = watch(port, own_name="observer-1")
            watching.make_pass()
        assert not api.events
        assert watching.readings()["pods"].error is None

    def test_no_pods(self, api: ApiServer, watch: Watch) -> None:
        """A release that is scaled to zero is no error."""
        watching = watch(9145)
        watching.make_pass()
        assert {name: reading.error for name, reading in watching.readings().items()} == {"pods": None, "events": None}

    def test_in_the_background(self, api: ApiServer, watch: Watch, wait_for: WaitFor) -> None:
        """Once started, passes go on by themselves."""
        with sidecar(page()) as port:
            api.pods = [pod("worker-1", port=port)]
            watching = watch(port)
            watching.start(0.01)
            wait_for(lambda: len(api.requests) > 2, 10, "three passes")
            watching.stop()

    def test_failing_pass(self, api: ApiServer, watch: Watch, wait_for: WaitFor) -> None:
        """A pass that fails in a way nobody thought of is an error, and not the last pass."""
        failures = [ZeroDivisionError("odd"), ZeroDivisionError("odd")]

        def read(address: str, port: int) -> list[Leak]:
            if failures:
                raise failures.pop()
            return []

        api.pods = [pod("worker-1")]
        watching = watch(9145, read=read)
        watching.start(0.05)
        wait_for(lambda: watching.readings().get("pods", Reading(0)).error == "ZeroDivisionError: odd", 10, "an error")
        wait_for(lambda: watching.readings()["pods"].error is None, 10, "a good pass")
        watching.stop()


class TestTrouble:
    def test_one_silent_sidecar(self, api: ApiServer, watch: Watch) -> None:
        """A pod whose sidecar does not answer keeps the others from nothing, and is no error."""
        with sidecar(page("app.load")) as port:
            api.pods = [pod("starting", "127.0.0.2", port), pod("worker-1", port=port)]
            watching = watch(port)
            watching.make_pass()
        assert len(api.events) == 1
        assert watching.readings()["pods"].error is None

    def test_all_silent(self, api: ApiServer, watch: Watch) -> None:
        """When no sidecar answers that is an error, with what one of them says."""
        with sidecar(b"", 401) as port:
            api.pods = [pod("worker-1", port=port), pod("worker-2", port=port)]
            watching = watch(port)
            watching.make_pass()
        error = watching.readings()["pods"].error
        assert error is not None
        assert error.startswith("none of 2 sidecars gave its leaks; one says: 127.0.0.1 port ")
        assert error.endswith("/leaks answers 401 Unauthorized")

    def test_api_refuses(self, api: ApiServer, watch: Watch) -> None:
        """A refusal to list pods is an error, and the next pass is as if nothing had been."""
        api.refusal = (403, "pods is forbidden")
        watching = watch(9145)
        watching.make_pass()
        assert watching.readings()["pods"].error == "GET pods in shop: 403 pods is forbidden"
        api.refusal = None
        watching.make_pass()
        assert watching.readings()["pods"].error is None

    def test_events_refused(self, api: ApiServer, watch: Watch) -> None:
        """A refusal to write Events leaves the pods readable."""
        with sidecar(page("app.load")) as port:
            api.pods = [pod("worker-1", port=port)]
            api.is_read_only = True
            watching = watch(port)
            watching.make_pass()
        readings = watching.readings()
        assert readings["pods"].error is None
        assert readings["events"].error is not None
        assert readings["events"].error.startswith("PATCH events/worker-1.")
        assert readings["events"].error.endswith(" in shop: 403 events is forbidden")
