"""The observer's page, from its sources."""

from __future__ import annotations

import logging
import subprocess
from collections.abc import Mapping

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from redis import Redis
from rq import Queue

from tests.observer import rq_tasks
from tests.servers import Redis as RedisServer
from ullage import metrics as m
from ullage.observer.budget import Budget
from ullage.observer.collector import Observer
from ullage.observer.reading import Reading
from ullage.observer.redis_source import RedisSource


class Changing:
    """A source that is as a test says."""

    def __init__(self) -> None:
        self.error: str | None = None

    def readings(self) -> Mapping[str, Reading]:
        """Return one reading."""
        samples = {} if self.error else {m.LEAK_EVENTS: {(): [2.0]}}
        return {"events": Reading(0.25, samples, self.error)}


def text(*sources) -> str:
    """Return the page without its comments."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Observer(sources))
    return "\n".join(line for line in generate_latest(registry).decode().splitlines() if not line.startswith("#"))


class TestPage:
    def test_everything(self, redis: Redis, redis_server: RedisServer, promtool: str) -> None:
        """Every metric of the observer is on the page, without a role, and Prometheus' linter agrees with it."""
        Queue("shop", connection=redis).enqueue(rq_tasks.succeed)
        sources = (Budget({"web": 30}, 100), RedisSource(redis_server.url), Changing())
        registry = CollectorRegistry(auto_describe=False)
        registry.register(Observer(sources))
        page = generate_latest(registry).decode()
        for metric in (*m.OBSERVER_METRICS, m.BUILD_INFO, m.UP, m.COLLECTOR_SUCCESS, m.COLLECTOR_DURATION):
            assert f"\n{metric.name}" in page
        assert "role=" not in page
        assert "\nullage_leak_events_total 2.0\n" in page
        checked = subprocess.run(
            [promtool, "check", "metrics"], input=page, text=True, capture_output=True, check=False
        )
        assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")

    def test_failed_source(self) -> None:
        """A source that fails costs its own series; success and ullage_up say so, and the rest is served."""
        failed = Changing()
        failed.error = "gone"
        page = text(Budget({"web": 30}, None), failed)
        assert 'ullage_connection_budget{component="web"} 30.0' in page
        assert 'ullage_collector_success{collector="budget"} 1.0' in page
        assert 'ullage_collector_success{collector="events"} 0.0' in page
        assert 'ullage_collector_duration_seconds{collector="events"} 0.25' in page
        assert "ullage_up 0.0" in page
        assert "ullage_leak_events_total" not in page
        assert "ullage_connection_limit" not in page

    def test_redis_gone(self) -> None:
        """Without Redis there is a page, and no queue on it."""
        with RedisServer() as server:
            source = RedisSource(server.url, ["shop"])
            assert "rq_queue_jobs" in text(source)
            server.stop()
            page = text(source)
        assert "rq_" not in page
        assert 'ullage_collector_success{collector="queues"} 0.0' in page


class TestLog:
    def test_changes(self, caplog: pytest.LogCaptureFixture) -> None:
        """An error is logged when it begins, changes and ends, and not at each scrape."""
        caplog.set_level(logging.INFO)
        source = Changing()
        observer = Observer([source])
        for error in ("gone", "gone", "hung", None, None):
            source.error = error
            list(observer.collect())
        assert [record.getMessage() for record in caplog.records] == [
            "events could not be read: gone",
            "events could not be read: hung",
            "events can be read again",
        ]
