"""A measured process for each test: the probes are installed once, the segment is a new one each time."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from ullage import install
from ullage.collector import Collector
from ullage.probe import process as processes
from ullage.probe.process import Process


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
    assert install({"ULLAGE_DIR": str(tmp_path), "ULLAGE_ROLE": "test"})
    process = processes._process
    assert process is not None
    defaults = process.settings
    found = Measured(process, tmp_path / "segments")
    found.directory.mkdir()
    found.restart(role="test")
    yield found
    process.settings = defaults
