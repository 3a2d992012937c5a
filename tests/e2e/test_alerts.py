"""The alerts, on the cluster's own Prometheus: quiet while all is well, loud and exact about each fault, quiet again.

The release is installed before any other test and looked at last, because alerts take minutes to come and to go.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

import httpx

from tests.e2e import prometheus, traffic
from tests.e2e.cluster import ingress_url, is_ready
from tests.e2e.watched import HOST, Watched
from tests.servers import wait_for

IS_FULL = os.environ.get("ULLAGE_PROMISES") == "full"
QUIET_SECONDS = 3600 if IS_FULL else 60
SCRAPE_SECONDS = 5
# A fault is seen at the next scrape, recorded at the next evaluation, and the alert fires at the one after that.
FIRES_WITHIN_SECONDS = 2 * SCRAPE_SECONDS + 10
KILL = (
    'MYSQL_PWD="$MARIADB_PASSWORD"; export MYSQL_PWD;'
    ' for id in $(mariadb -u"$MARIADB_USER" -N -e "SELECT id FROM information_schema.processlist'
    ' WHERE command = \'Sleep\' AND id <> CONNECTION_ID()"); do mariadb -u"$MARIADB_USER" -e "KILL $id"; done'
)
KILL_SIDECAR = "import os, signal; os.kill(1, signal.SIGTERM)"
RELEASE_LEAKED = (
    "import urllib.request;"
    " urllib.request.urlopen(urllib.request.Request('http://127.0.0.1:8000/faults/leak', method='DELETE'))"
)


def test_prometheus_scrapes_the_release(watched: Watched) -> None:
    """The PodMonitor brings every sidecar and the observer under one job, and the rules are loaded without an error."""
    job = f'namespace="{watched.release.namespace.name}"'
    wait_for(lambda: len(prometheus.query(f"ullage_up{{{job}}} == 1")) == 3, timeout=120, what="targets", interval=2)
    components = {one["metric"]["app_kubernetes_io_component"] for one in prometheus.query(f"ullage_up{{{job}}}")}
    assert components == {"web", "worker", "observer"}


def test_no_alert_fires_while_all_is_well(watched: Watched) -> None:
    """No alert fires in healthy mixed traffic."""
    answers = watched.mixed_traffic(max(QUIET_SECONDS, 310 - watched.age_seconds))
    print(f"e2e healthy: {dict(answers.statuses)} in {watched.age_seconds:.0f} s")
    assert not answers.failed
    fired = f'ALERTS{{namespace="{watched.release.namespace.name}",alertstate="firing"}}'
    assert prometheus.query(f"count by (alertname) (count_over_time({fired}[2h]))") == []


def test_one_leak_is_named(watched: Watched) -> None:
    """One single leak in a pod five minutes old fires SessionLeak with function and line in its annotation."""
    assert watched.age_seconds > 300
    watched.job("app.tasks.leak")
    alert = _fires(watched, "SessionLeak", FIRES_WITHIN_SECONDS, lambda one: one["labels"]["role"] == "worker")
    assert alert["labels"]["function"] == "app.tasks.leak"
    assert "app/faults.py:" in alert["annotations"]["description"]
    assert alert["annotations"]["runbook_url"].endswith("/SessionLeak.md")


def test_one_leak_is_an_event_on_its_pod(watched: Watched) -> None:
    """The observer writes a Kubernetes Event on the pod that leaked, with function and line."""
    selector = ("--field-selector", "reason=SessionLeak")
    found = wait_for(
        lambda: [
            event
            for event in watched.release.namespace.get("events", *selector)
            if event["message"].startswith("app.tasks.leak ")
        ],
        timeout=90,
        what="the Event",
        interval=2,
    )
    assert {event["involvedObject"]["name"] for event in found} == {watched.release.pod("worker")}
    assert "app/faults.py:" in found[0]["message"]


def test_killed_horse_is_named(watched: Watched) -> None:
    """A work horse that is killed fires WorkHorseKilled with the job's function."""
    watched.job("app.tasks.crash")
    alert = _fires(watched, "WorkHorseKilled", FIRES_WITHIN_SECONDS)
    assert alert["labels"]["function"] == "app.tasks.crash"
    assert alert["labels"]["signal"] == "SIGKILL"


def test_stale_burst_is_counted(watched: Watched) -> None:
    """Connections that the server closes again and again fire StaleConnectionRetriesHigh, and no user sees an error."""
    pod = watched.release.pod("mariadb")
    with httpx.Client(base_url=ingress_url(), headers={"Host": HOST}) as client:
        for _ in range(15):
            watched.release.namespace.kubectl("exec", pod, "--", "sh", "-c", KILL)
            assert client.get("/orders").status_code == 200
    alert = _fires(watched, "StaleConnectionRetriesHigh", FIRES_WITHIN_SECONDS)
    assert alert["labels"]["role"] == "web"
    assert "StaleConnectionErrors" not in prometheus.names(_firing(watched))


def test_exhausted_pool_pages(watched: Watched) -> None:
    """A pool from which requests get nothing fires PoolExhausted, and stops when the connections come back."""
    watched.fault("leak", count=3)
    with httpx.Client(base_url=ingress_url(), headers={"Host": HOST}, timeout=30) as client:
        assert client.get("/orders").status_code >= 500
    alert = _fires(watched, "PoolExhausted", FIRES_WITHIN_SECONDS)
    assert alert["labels"]["role"] == "web"
    assert alert["labels"]["severity"] == "critical"
    web = watched.release.pods("web")[0]["metadata"]["name"]
    watched.release.namespace.python(web, RELEASE_LEAKED, container="web")


def test_dead_exporter_is_missed(watched: Watched) -> None:
    """A sidecar that keeps crashing fires ExporterDown, while its application goes on."""
    pod = watched.release.pod("worker")
    started = time.monotonic()
    while "ExporterDown" not in prometheus.names(_firing(watched)):
        # Kubernetes waits longer after each crash: some of them give an absence that is long enough.
        assert time.monotonic() - started < 300, "ExporterDown did not fire within 300 s"
        _crash_sidecar(watched, pod)
        time.sleep(3)
    wait_for(lambda: any(map(is_ready, watched.release.pods("worker"))), timeout=300, what="the sidecar", interval=2)
    watched.job("app.tasks.hang", 0.1)
    statuses = watched.release.namespace.get("pods", "--field-selector", f"metadata.name={pod}")[0]["status"]
    assert [one["restartCount"] for one in statuses["containerStatuses"]] == [0]


def test_alerts_clear(watched: Watched) -> None:
    """When the faults are over every alert clears."""
    wait_for(lambda: not _firing(watched), timeout=850, what="the end of all alerts", interval=10)


def test_operations_fire_what_they_should(watched: Watched) -> None:
    """A rolling upgrade, a scale to zero and back, and a database that restarts twice fire nothing they should not.

    What they may fire is StaleConnectionErrors, as a statement that ran when the database died is an error of a user;
    and PoolExhausted, as this release's pool of 3 gives up after 2 seconds, so that requests during an outage do.
    """
    namespace, web = watched.release.namespace, f"deployment/{watched.release.service()}"
    worker = namespace.get("deployments", "--selector", "ullage.dev/worker=default")[0]["metadata"]["name"]
    with traffic.requests(HOST):
        namespace.kubectl("rollout", "restart", web, f"deployment/{worker}")
        namespace.kubectl("rollout", "status", web, "--timeout=180s")
        namespace.kubectl("rollout", "status", f"deployment/{worker}", "--timeout=180s")
        for replicas in (0, 1):
            namespace.kubectl("scale", f"deployment/{worker}", f"--replicas={replicas}")
            wait_for(
                lambda expected=replicas: len(watched.release.pods("worker")) == expected,
                timeout=60,
                what="the scaling",
            )
        database = watched.release.pod("mariadb")
        for _ in range(2):
            namespace.kubectl("exec", database, "--", "sh", "-c", "kill 1")
            wait_for(lambda: not any(map(is_ready, watched.release.pods("mariadb"))), timeout=60, what="the outage")
            wait_for(lambda: any(map(is_ready, watched.release.pods("mariadb"))), timeout=120, what="the database")
    wait_for(lambda: all(map(is_ready, watched.release.pods("web", "worker"))), timeout=180, what="the pods")
    # Two evaluations: what was about to fire has fired.
    time.sleep(2 * SCRAPE_SECONDS)
    fired = prometheus.query(f'ALERTS{{namespace="{namespace.name}",alertstate="firing"}}')
    assert {one["metric"]["alertname"] for one in fired} <= {"StaleConnectionErrors", "PoolExhausted"}


def _firing(watched: Watched) -> list[dict[str, Any]]:
    return prometheus.alerts(watched.release.namespace.name)


def _fires(
    watched: Watched, name: str, within: float, matches: Callable[[dict[str, Any]], bool] = lambda _: True
) -> dict[str, Any]:
    start = time.monotonic()
    found: dict[str, Any] = {}

    def fires() -> bool:
        found.update(next((one for one in _firing(watched) if one["labels"]["alertname"] == name and matches(one)), {}))
        return bool(found)

    wait_for(fires, timeout=within, what=f"{name} firing", interval=0.5)
    print(f"e2e {name}: fires {time.monotonic() - start:.1f} s after the fault: {found['annotations']['description']}")
    return found


def _crash_sidecar(watched: Watched, pod: str) -> None:
    statuses = watched.release.namespace.get("pods", "--field-selector", f"metadata.name={pod}")[0]["status"]
    sidecar = next(one for one in statuses["initContainerStatuses"] if one["name"] == "ullage")
    if "running" in sidecar["state"]:
        watched.release.namespace.python(pod, KILL_SIDECAR, container="ullage")
