from __future__ import annotations

import pytest

pytestmark = [pytest.mark.promise, pytest.mark.timeout(3600)]


def test_a_job_timeout_reaches_its_job(scenario, segments, redis_server, size):
    """Of ten thousand timeouts at random instructions the probe swallows none, and it is in order afterwards."""
    count = size(10_000, 200)
    shared = {"directory": segments, "redis": redis_server.url, "count": count}
    without = scenario("rq_timeouts", is_probed=False, **shared)
    found = scenario("rq_timeouts", is_probed=True, **shared)
    for name, each in (("with", found), ("without", without)):
        others = each["by_sqlalchemy"] + each["by_python"]
        print(
            f"\npromise job timeouts {name} the probe: {each['raised']:,} raised, jobs {each['statuses']}, "
            f"{each['by_sqlalchemy']} dropped by SQLAlchemy's reset, {each['by_python']} by Python's finalizers, "
            f"{each['swallowed'] - others} by others"
        )
        assert each["raised"] == count
        assert each["swallowed"] == others
    print(f"  afterwards waiting {found['waiting']:g}, probes {found['probe_up']}, counted {found['jobs']}")
    assert found["statuses"].get("failed", 0) + found["swallowed"] == count
    assert found["jobs"] == {name: number for name, number in found["statuses"].items() if number}
    assert found["waiting"] == 0
    assert found["journal"] % 2 == 0
    assert set(found["probe_up"].values()) == {1}
