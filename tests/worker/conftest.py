"""An application with a queue of its own for each test of the worker."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests import servers
from tests.worker.shop import Shop


@pytest.fixture
def shop(tmp_path: Path, redis_server: servers.Redis) -> Iterator[Shop]:
    """Give an application with a queue of its own; its workers end with the test."""
    with ExitStack() as started:
        yield Shop(tmp_path, redis_server, started)
