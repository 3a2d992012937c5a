"""Upgrades, rollbacks and removal under load: no request fails, no job is lost."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.e2e import schema, traffic
from tests.e2e.cluster import CommandError, Release, elapsed_since, merge
from tests.servers import wait_for

HOST = "upgrade.example.test"
VALUES: dict[str, Any] = {
    "ingress": {
        "enabled": True,
        "className": "traefik",
        "hosts": [{"host": HOST, "paths": [{"path": "/", "pathType": "Prefix"}]}],
    },
    "workers": [{"name": "default", "queues": ["default"], "replicas": 2}],
}
# As root through the socket, which needs no password in an argument.
CONNECTIONS = (
    "sh",
    "-c",
    'MYSQL_PWD="$MARIADB_PASSWORD" exec mariadb -u"$MARIADB_USER" -N -e'
    " \"SELECT COUNT(*) FROM information_schema.processlist WHERE user = CURRENT_USER() OR db = '$MARIADB_DATABASE'\"",
)


def test_upgrade_rollback_uninstall_under_load(release: Release) -> None:
    """An upgrade with a new migration, and a rollback, fail no request and lose no job at 20 requests a second.

    A job of 30 seconds survives both; the database never sees more connections than the notes' budget; `helm
    uninstall` leaves what the notes name and nothing else.
    """
    notes = release.install(VALUES, "--wait", "--timeout", "120s")
    budget = int(re.findall(r"in total (\d+)", notes)[0])
    jobs: list[str] = []
    peaks: list[int] = []
    with traffic.requests(HOST) as answers, _watched(release, peaks):
        wait_for(lambda: sum(answers.statuses.values()) > 60, timeout=30, what="traffic")
        for step in (_upgrade, _rollback):
            jobs += traffic.enqueue(release, "default", "app.tasks.hang", 30)
            jobs += traffic.enqueue(release, "default", "app.tasks.hang", 0.2, count=40)
            start = time.monotonic()
            step(release)
            print(f"e2e {step.__name__.strip('_')}: done after {elapsed_since(start)}; {dict(answers.statuses)}")
        jobs += traffic.enqueue(release, "default", "app.tasks.hang", 0.1, count=10)
        wait_for(lambda: _all_ended(release, jobs), timeout=120, what="the end of all jobs", interval=2)
    found = traffic.statuses(release, jobs)
    print(f"e2e upgrade: {sum(answers.statuses.values())} requests, failed {answers.failed}; {len(jobs)} jobs")
    print(f"e2e upgrade: at most {max(peaks)} connections of a budget of {budget}")
    assert not answers.failed
    assert set(found.values()) == {"finished"}, found
    assert max(peaks) <= budget
    assert "20261231" in _revision(release), "helm rollback downgraded the schema"
    _uninstall(release)


def test_failing_migration_rolls_back(release: Release) -> None:
    """With --wait and --rollback-on-failure a failing migration leaves the old version, which never stopped serving."""
    release.install(VALUES, "--wait", "--timeout", "120s")
    before = {pod["metadata"]["uid"] for pod in release.pods("web")}
    broken = schema.add_migration(release, "20261230", 'raise RuntimeError("this migration is broken")')
    start = time.monotonic()
    with traffic.requests(HOST) as answers:
        try:
            release.upgrade(merge(VALUES, broken), "--wait", "--rollback-on-failure", "--timeout", "60s")
        except CommandError as error:
            print(f"e2e broken migration: {str(error)[-600:]}")
        else:
            raise AssertionError("the upgrade with a broken migration succeeded")
    print(f"e2e broken migration: back after {elapsed_since(start)}; {dict(answers.statuses)}")
    assert not answers.failed
    assert before <= {pod["metadata"]["uid"] for pod in release.pods("web")}
    assert release.run("status", release.name).count("STATUS: deployed") == 1


def _upgrade(release: Release) -> None:
    column = 'op.add_column("orders", sa.Column("note", sa.String(40), nullable=True))'
    values = schema.add_migration(release, "20261231", column)
    # A changed value beside the new schema.
    values = merge(values, {"web": {"gunicorn": {"threads": 3}}})
    release.upgrade(merge(VALUES, values), "--wait", "--timeout", "180s")


def _rollback(release: Release) -> None:
    release.run("rollback", release.name, "1", "--wait", "--timeout", "180s")


def _all_ended(release: Release, jobs: list[str]) -> bool:
    return not {"queued", "started"} & set(traffic.statuses(release, jobs).values())


def _revision(release: Release) -> str:
    program = (
        "import sqlalchemy, app.db; print(app.db.engine().connect().scalar("
        "sqlalchemy.text('SELECT version_num FROM alembic_version')))"
    )
    return release.namespace.python(release.pod("web"), program, container="web")


@contextmanager
def _watched(release: Release, peaks: list[int]) -> Iterator[None]:
    """Note how many connections the database has from this release, until the block ends."""
    stop = threading.Event()
    pod = release.pod("mariadb")

    def watch() -> None:
        while not stop.wait(0.5):
            peaks.append(int(release.namespace.kubectl("exec", pod, "--", *CONNECTIONS)) - 1)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield
    finally:
        stop.set()
        watcher.join()


def _uninstall(release: Release) -> None:
    release.uninstall()
    kinds = "all,configmaps,secrets,serviceaccounts,roles,rolebindings,ingresses,networkpolicies,pdb,pvc"
    left = release.namespace.kubectl(
        "get", kinds, "--selector", f"app.kubernetes.io/instance={release.name}", "--output", "name"
    ).split()
    print(f"e2e uninstall: left {left}")
    assert left == []
