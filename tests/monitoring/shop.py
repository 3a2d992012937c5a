"""A shop in the pods of a release: web, worker and observer, each with its exporter, before one Prometheus."""

from __future__ import annotations

import json
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import yaml
from redis import Redis as RedisClient
from rq import Queue

from tests.demo.stack import Stack
from tests.servers import MariaDB, Prometheus, free_port

NAMESPACE, RELEASE = "prod", "shop"
JOB = f"{NAMESPACE}/{RELEASE}-ullage"
LEAK_THRESHOLD_SECONDS = 1
RULES = Path(__file__).parents[2] / "docs" / "rules.yaml"


class Scraper(Prometheus):
    """Prometheus as in a cluster: a pod's labels on each target, and the alerts without their patience."""

    def __init__(self, pods: dict[str, int]) -> None:
        super().__init__([])
        self.pods = pods

    def prepare(self) -> None:
        """Write the configuration and the rules."""
        rules = self.directory / "rules.yml"
        rules.write_text(json.dumps(_at_once(yaml.safe_load(RULES.read_text()))))
        interval = {"scrape_interval": self.scrape_interval, "evaluation_interval": self.scrape_interval}
        configuration = {
            "global": {**interval, "scrape_timeout": self.scrape_interval},
            "rule_files": [str(rules)],
            "scrape_configs": [{"job_name": JOB, "static_configs": [_target(*pod) for pod in self.pods.items()]}],
        }
        (self.directory / "prometheus.yml").write_text(json.dumps(configuration))

    def ask(self, path: str, **parameters: Any) -> Any:
        """Return the data of an answer of the API; refusals carry Prometheus' own words."""
        answer = httpx.post(f"{self.url}/api/v1/{path}", data=parameters, trust_env=False, timeout=30).json()
        if answer["status"] != "success":
            raise AssertionError(f"{answer['error']}: {parameters}")
        return answer["data"]


def _at_once(rules: dict[str, Any]) -> dict[str, Any]:
    for group in rules["groups"]:
        for rule in group["rules"]:
            rule.pop("for", None)
            rule.pop("keep_firing_for", None)
    return rules


def _target(component: str, port: int) -> dict[str, Any]:
    labels = {
        "namespace": NAMESPACE,
        "pod": f"{RELEASE}-ullage-{component}-0",
        "container": "ullage",
        "app_kubernetes_io_instance": RELEASE,
        "app_kubernetes_io_component": component,
    }
    return {"targets": [f"127.0.0.1:{port}"], "labels": labels}


@dataclass
class Shop(Stack):
    """The demo's stack as it runs in pods: the worker has a segment directory and a sidecar of its own.

    Its pools are small, so that a few leaks exhaust them, and every fault is allowed.
    """

    worker_port: int = field(default_factory=free_port)
    observer_port: int = field(default_factory=free_port)

    @property
    def pods(self) -> dict[str, int]:
        """The port of each pod's exporter."""
        return {"web": self.metrics_port, "worker-default": self.worker_port, "observer": self.observer_port}

    def start(self, owner: ExitStack) -> None:
        """Start everything and wait until it answers."""
        super().start(owner)
        self._start(owner, "worker-sidecar", ["-m", "ullage", "serve"])
        self._start(owner, "observer", ["-m", "ullage", "observe"])
        for name, port in (("worker-sidecar", self.worker_port), ("observer", self.observer_port)):
            self._wait(name, partial(_is_healthy, port))

    def enqueue(self, function: str, **arguments: Any) -> None:
        """Put a job on the queue, past the application."""
        with RedisClient.from_url(self.redis_url) as client:
            Queue("default", connection=client).enqueue(function, **arguments)

    def _environment(self, role: str) -> dict[str, str]:
        own = {
            "APP_FAULTS": "1",
            "DB_MAX_OVERFLOW": "2",
            "DB_POOL_SIZE": "3",
            "DB_POOL_TIMEOUT": "1",
            "ULLAGE_LEAK_THRESHOLD_SECONDS": str(LEAK_THRESHOLD_SECONDS),
            "ULLAGE_PROXY_X_FOR": "1",
        }
        if role.startswith("worker"):
            own |= {"ULLAGE_DIR": str(self.directory / "worker-segments"), "ULLAGE_PORT": str(self.worker_port)}
        if role == "observer":
            own |= {
                "ULLAGE_PORT": str(self.observer_port),
                "ULLAGE_REDIS_URL": self.redis_url,
                "ULLAGE_QUEUES": "default",
                "ULLAGE_CONNECTION_BUDGET": json.dumps({"web": 10, "worker-default": 5}),
                "ULLAGE_CONNECTION_LIMIT": "40",
            }
        return super()._environment(role) | own


def _is_healthy(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/healthz", trust_env=False).is_success
    except httpx.TransportError:
        return False


def kill_while_used(server: MariaDB) -> None:
    """Kill the connections that run a statement, so that the application sees the error."""
    rows = server.execute(
        "SELECT id FROM information_schema.processlist WHERE user = %s AND command = 'Query'", server.application_user
    )
    for (number,) in rows:
        server.execute(f"KILL CONNECTION {number}")
