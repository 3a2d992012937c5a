"""The release that the cluster's Prometheus watches: installed first, so that it is old enough when its tests come."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.e2e import traffic
from tests.e2e.cluster import Release, ingress_url

HOST = "watched.example.test"
# What fires after a quarter of an hour by default fires at once here.
RETUNED = {"ExporterDown": {"for": "20s"}, "StaleConnectionRetriesHigh": {"for": "0s", "threshold": 0.001}}
# Small pools, so that a few leaks exhaust one; no policy that would release what the tests leak.
VALUES: dict[str, Any] = {
    "ingress": {
        "enabled": True,
        "className": "traefik",
        "hosts": [{"host": HOST, "paths": [{"path": "/", "pathType": "Prefix"}]}],
    },
    "web": {
        "replicas": 1,
        "gunicorn": {"workers": 1, "threads": 8},
        "pool": {"size": 2, "maxOverflow": 1, "timeoutSeconds": 2},
    },
    "workers": [{"name": "default", "queues": ["default"], "policy": "observe"}],
    "monitoring": {
        "podMonitor": {"enabled": True},
        "rules": {"enabled": True, "alerts": RETUNED},
        "dashboards": {"enabled": True},
    },
}


@dataclass
class Watched:
    """A release, when it was installed, and when each fault was switched on."""

    release: Release
    since: float
    faults: dict[str, float] = field(default_factory=dict)

    @property
    def age_seconds(self) -> float:
        """How long ago it was ready."""
        return time.monotonic() - self.since

    def fault(self, name: str, count: int = 1) -> None:
        """Switch on a fault of web `count` times."""
        with httpx.Client(base_url=ingress_url(), headers={"Host": HOST}, timeout=30) as client:
            for _ in range(count):
                client.post(f"/faults/{name}")

    def job(self, function: str, argument: float = 1.0, count: int = 1) -> None:
        """Enqueue jobs."""
        traffic.enqueue(self.release, "default", function, argument, count)

    def mixed_traffic(self, seconds: float) -> traffic.Answers:
        """Send requests and jobs for a while."""
        until = time.monotonic() + seconds
        with traffic.requests(HOST) as answers:
            while time.monotonic() < until:
                self.job("app.tasks.hang", 0.05, count=5)
                time.sleep(min(10.0, max(0.0, until - time.monotonic())))
        return answers
