from __future__ import annotations

import pytest

pytestmark = [pytest.mark.promise, pytest.mark.timeout(900)]

LEAK = "tests.promises.jobs.leak_connection"


@pytest.mark.parametrize("has_flushed", [False, True], ids=["added", "flushed"])
@pytest.mark.parametrize(
    ("policy", "writers"),
    [("observe", [1, 2]), ("reclaim", [2]), ("strict", [2])],
    ids=["observe", "reclaim", "strict"],
)
def test_a_forgotten_row_is_not_committed_by_the_next_job(
    scenario, segments, redis_server, tmp_path, policy, writers, has_flushed
):
    """Under reclaim a job's forgotten row is gone; under observe the next job in its process commits it."""
    found = scenario(
        "rq_policies",
        what="corruption",
        directory=segments,
        redis=redis_server.url,
        database=f"sqlite:///{tmp_path}/rows.db",
        policy=policy,
        has_flushed=has_flushed,
    )
    print(f"\npromise corruption {policy}, flushed {has_flushed}: rows of jobs {found['writers']}, {found['levels']}")
    assert found["writers"] == writers
    assert found["statuses"] == ["failed" if policy == "strict" else "finished", "finished"]
    assert found["levels"] == {"leaked" if has_flushed else "dirty": 1}


class TestAPoolOfFive:
    """A job that leaks a connection each time, on a worker that performs jobs in its own process."""

    def test_under_observe_the_culprit_is_named_before_the_pool_is_empty(
        self, scenario, segments, redis_server, tmp_path
    ):
        """The sixth job times out, and by then five leaks are counted under the job's function and line."""
        found = _exhaust(scenario, segments, redis_server, tmp_path, "observe", 6)
        print(f"\npromise pool of five, observe: job {found['first_failure']} failed, named before: {found['named']}")
        assert found["first_failure"] == 6
        assert "QueuePool limit of size 5 overflow 0 reached" in found["error"]
        [(function, site, count)] = found["named"]
        assert (function, count) == (LEAK, 5)
        assert site.startswith("tests/promises/jobs.py:")
        assert site.endswith(" leak_connection")
        assert found["timeouts"] == 1

    def test_under_reclaim_all_jobs_pass(self, scenario, segments, redis_server, tmp_path, size):
        """A thousand jobs pass, each leak is counted, and nothing is out afterwards."""
        count = size(1_000, 20)
        found = _exhaust(scenario, segments, redis_server, tmp_path, "reclaim", count)
        print(
            f"\npromise pool of five, reclaim: {found['finished']:,} of {count:,} jobs passed, {found['leaks']} leaks"
        )
        assert found["finished"] == found["leaks"] == count
        assert found["used"] == found["timeouts"] == 0


def _exhaust(scenario, segments, redis_server, tmp_path, policy, count):
    return scenario(
        "rq_policies",
        what="exhaustion",
        directory=segments,
        redis=redis_server.url,
        database=f"sqlite:///{tmp_path}/rows.db",
        policy=policy,
        count=count,
    )


@pytest.mark.parametrize("worker", ["Worker", "SimpleWorker"])
def test_strict_fails_a_job_as_rq_does(scenario, segments, redis_server, tmp_path, worker):
    """The job is FAILED with function, line and fix; callback, dependents and retries are as for any failure."""
    found = scenario(
        "rq_policies",
        what="strict",
        directory=segments,
        redis=redis_server.url,
        database=f"sqlite:///{tmp_path}/rows.db",
        worker=worker,
    )
    print(f"\npromise strict {worker}: {found['notes']}; retried {found['runs']}; dependent {found['dependent']}")
    assert (found["failing"], found["dependent"], found["dirty"], found["clean"]) == (
        "failed",
        "deferred",
        "failed",
        "finished",
    )
    [note] = found["notes"]
    assert note.startswith(f"UnreleasedSessionError: {LEAK} returned without releasing a connection")
    for part in (LEAK, "tests/promises/jobs.py:", "close the session there", "@ullage.policy('ignore')"):
        assert part in found["error"]
    assert "objects that were not committed" in found["dirty_error"]
    assert found["retried"] == "failed"
    assert found["runs"] == {"retried": 2, "failed": 1}
    assert found["leaks"] == {
        LEAK: 1,
        "tests.promises.jobs.leak_session": 3,
        "tests.promises.jobs.add_and_forget": 1,
    }
    assert found["used"] == 0


@pytest.mark.parametrize("policy", ["observe", "reclaim", "strict", "ignore"])
def test_what_is_kept_on_purpose_is_kept(scenario, segments, redis_server, mariadb_database, policy):
    """Locks of older connections, of other threads and of declared jobs stay with their connections."""
    found = scenario(
        "rq_policies",
        what="kept",
        directory=segments,
        redis=redis_server.url,
        database=mariadb_database,
        policy=policy,
    )
    owners = found["owners"]
    is_reclaimed = policy in ("reclaim", "strict")
    print(
        f"\npromise kept {policy}: {sum(owners[name] == owner for name, owner in found['taken'].items())} of "
        f"{len(found['taken'])} locks kept; the undeclared one {'kept' if owners['undeclared'] else 'released'}; "
        f"leaks {found['leaks']}"
    )
    assert {name: owners[name] for name in found["taken"]} == found["taken"]
    assert len(found["taken"]) == 6
    assert None not in found["taken"].values()
    assert (owners["undeclared"] is None) == is_reclaimed
    assert sum(found["leaks"].values()) == (policy != "ignore")
