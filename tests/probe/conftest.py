"""A measured process for each test: the probes are installed once, the segment is a new one each time.

The application, its requests and its connections are what the tests of the Flask probe share.
"""

from __future__ import annotations

import dataclasses
import gc
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from prometheus_client import CollectorRegistry
from sqlalchemy import create_engine
from sqlalchemy.pool import QueuePool

from ullage import install
from ullage.collector import Collector
from ullage.probe import process as processes
from ullage.probe.process import Process

if TYPE_CHECKING:
    from flask import Flask


class Measured:
    """This process as its sidecar sees it."""

    def __init__(self, process: Process, directory: Path) -> None:
        self.process = process
        self.directory = directory
        self.collector = Collector(directory)
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self.collector)

    def restart(self, **settings: object) -> None:
        """Take other settings and claim a segment anew, as after a fork."""
        self.process.settings = dataclasses.replace(self.process.settings, directory=self.directory, **settings)
        self.process.after_fork_in_child()

    def value(self, name: str, **labels: str) -> float | None:
        """Return a sample of the role `test`, None where there is none."""
        return self._registry.get_sample_value(name, {"role": "test", **labels})

    def by(self, name: str, label: str) -> dict[str, float]:
        """Return the non-zero samples of a metric by one label."""
        samples = [sample for family in self._registry.collect() for sample in family.samples if sample.name == name]
        return {sample.labels[label]: sample.value for sample in samples if sample.value}


@pytest.fixture
def measured(tmp_path: Path) -> Iterator[Measured]:
    """The probes of this process, writing into a directory of the test's own."""
    gc.collect()  # pools of the test before would take gauges in this one's segment
    assert install({"ULLAGE_DIR": str(tmp_path), "ULLAGE_ROLE": "test"})
    process = processes._process
    assert process is not None
    defaults = process.settings
    found = Measured(process, tmp_path / "segments")
    found.directory.mkdir()
    found.restart(role="test")
    yield found
    process.settings = defaults


@pytest.fixture
def app() -> Flask:
    """Give an application with one view."""
    # The other probes' tests, run alone, need no Flask.
    from tests.probe.web import make_app

    return make_app()


@pytest.fixture
def requests(measured: Measured) -> Callable[[], dict[tuple[str, str, str], float]]:
    """Give a function that returns the requests counted, by method, route and status."""

    def read() -> dict[tuple[str, str, str], float]:
        samples = {}
        for family in measured.collector.collect():
            for sample in family.samples:
                if sample.name == "flask_requests_total" and sample.value:
                    labels = sample.labels
                    samples[labels["method"], labels["route"], labels["status"]] = sample.value
        return samples

    return read


@pytest.fixture
def connect(tmp_path: Path) -> Iterator[Callable[[], Any]]:
    """Give a function that checks a connection out."""
    engine = create_engine(
        f"sqlite:///{tmp_path}/shop.db",
        poolclass=QueuePool,
        pool_logging_name="shop",
        connect_args={"check_same_thread": False},
    )
    yield engine.connect
    engine.dispose()


@pytest.fixture
def queue(redis_server, measured) -> Iterator[Any]:
    """Give an empty queue, and afterwards leave nothing checked out."""
    # Imported late: tests of other probes must not load RQ.
    from redis import Redis
    from rq import Queue

    from tests.probe.rq_jobs import engine, held

    found = Queue(f"queue-{os.getpid()}", connection=Redis.from_url(redis_server.url))
    found.empty()
    yield found
    while held:
        held.pop().close()
    engine.dispose()
    found.connection.close()
