"""From a running application to a real Prometheus: Gunicorn, an RQ worker and the sidecar on MariaDB and Redis."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from tests.demo.stack import Stack
from tests.servers import free_port

FAULTS = {"APP_FAULTS": "1"}


class FaultyStack(Stack):
    """The demo's stack with the application's faults switched on."""

    def _environment(self, role: str) -> dict[str, str]:
        return super()._environment(role) | FAULTS


@pytest.fixture
def stack(tmp_path: Path, mariadb_database: str, redis_server) -> Iterator[Stack]:
    """Web, worker and sidecar, up and migrated."""
    with ExitStack() as owner:
        running = FaultyStack(tmp_path, redis_server.url, mariadb_database, free_port(), free_port())
        running.migrate()
        running.start(owner)
        yield running


def test_prometheus_sees_requests_checkouts_and_a_leak_by_its_line(stack, prometheus, wait_for):
    """Prometheus has requests by rule, checkouts, the job, and its leak by function and line."""
    server = prometheus([f"127.0.0.1:{stack.metrics_port}"])
    with httpx.Client(base_url=stack.web_url) as client:
        for _ in range(20):
            assert client.get("/orders").status_code == 200
        assert client.post("/faults/jobs/leak").is_success
        assert client.post("/faults/leak").is_success

    def found(promql: str) -> dict[str, float]:
        return {labels.get("role", ""): value for labels, value in server.query(promql)}

    wait_for(lambda: found('sum by (role) (flask_requests_total{route="/orders"})') == {"web": 20}, 30, "the requests")
    wait_for(lambda: found('ullage_leaks_total{kind="held_at_request_end"}').get("web") == 1, 30, "the request's leak")
    leak = 'sum by (role) (sqlalchemy_unreleased_sessions_total{function="app.tasks.leak",site=~"app/faults.py:.+"})'
    wait_for(lambda: found(leak) == {"worker": 1}, 30, "the job's leak")
    assert found("sum by (role) (sqlalchemy_pool_checkouts_total)")["web"] >= 21
    assert found('rq_jobs_total{function="app.tasks.leak",outcome="finished"}') == {"worker": 1}
    assert found("ullage_up") == {"": 1}
    assert found("up") == {"": 1}
