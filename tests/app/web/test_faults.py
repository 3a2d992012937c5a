"""The fault switches, in web and as jobs."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
from sqlalchemy.pool import QueuePool

from app import db, faults
from app.web import create_app


def checked_out() -> int:
    """Count the connections that are out of the pool."""
    pool = db.engine().pool
    assert isinstance(pool, QueuePool)
    return pool.checkedout()


@pytest.mark.parametrize("name", ["slow-query", "leak", "hang", "crash"])
@pytest.mark.parametrize("path", ["/faults/{}", "/faults/jobs/{}"])
def test_faults_are_refused_unless_enabled(config, web, name, path):
    """Without APP_FAULTS=1 every fault is refused, and the answer says how to enable it."""
    disabled = create_app(replace(config, faults=False))
    response = disabled.test_client().post(path.format(name))
    assert response.status_code == 403
    assert "set APP_FAULTS=1" in response.json["detail"]
    assert disabled.extensions["queue"].count == 0
    assert checked_out() == 0


def test_other_ways_to_a_fault_are_refused_as_well(config, web):
    """The report's switch, the release and a job without the setting in the worker's environment are refused."""
    client = create_app(replace(config, faults=False)).test_client()
    assert client.get("/reports/revenue?fault=hang").status_code == 403
    assert client.delete("/faults/leak").status_code == 403
    with pytest.raises(faults.FaultsDisabledError, match="APP_FAULTS=1"):
        faults.trigger("hang", enabled=False)


@pytest.mark.parametrize("name", ["leak", "hang", "crash"])
def test_the_report_takes_the_slow_query_only(client, name):
    """A GET cannot be made to leak, hang or crash."""
    response = client.get(f"/reports/revenue?fault={name}")
    assert (response.status_code, response.json["errors"][0]["field"]) == (422, "fault")
    assert checked_out() == 0


@pytest.mark.parametrize("path", ["/faults/typo", "/faults/jobs/typo"])
def test_an_unknown_fault_names_the_known_ones(client, path):
    """A misspelt fault is 404 and lists what there is."""
    response = client.post(path)
    assert response.status_code == 404
    assert "slow-query, leak, hang, crash" in response.json["detail"]


@pytest.mark.parametrize("seconds", ["0", "-1", "301", "nan", "inf", "long", ""])
def test_durations_are_bounded(client, seconds):
    """A duration that is no number above 0, at most 300, is refused."""
    response = client.post(f"/faults/hang?seconds={seconds}")
    assert response.status_code == 422
    assert response.json["errors"][0]["field"] == "seconds"


def test_leaked_connections_stay_out_until_released(client):
    """Each leak keeps one connection past its request; the pool runs dry; a release gives all back."""
    for count in (1, 2):
        assert client.post("/faults/leak").json["leaked_connections"] == count
        assert checked_out() == count
    exhausted = client.get("/orders")
    assert exhausted.status_code == 503
    assert exhausted.json["detail"].startswith("no database connection came free")
    assert client.delete("/faults/leak").json["released_connections"] == 2
    assert checked_out() == 0
    assert client.get("/orders").status_code == 200


def test_hang_takes_its_time(client):
    """The fault `hang` keeps the request waiting as long as it was told."""
    started = time.monotonic()
    assert client.post("/faults/hang?seconds=0.2").status_code == 200
    assert time.monotonic() - started >= 0.2


def test_jobs_do_what_they_are_named(client, queue, work):
    """Queued faults run in the worker under function names of their own."""
    for name in ("leak", "slow-query", "hang"):
        assert client.post(f"/faults/jobs/{name}?seconds=0.1").status_code == 202
    names = [job.func_name for job in queue.jobs]
    assert names == ["app.tasks.leak", "app.tasks.slow_query", "app.tasks.hang"]
    work()
    assert queue.failed_job_registry.count == 0
    assert checked_out() == 1
