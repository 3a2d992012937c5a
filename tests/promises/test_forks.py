from __future__ import annotations

import pytest

pytestmark = [pytest.mark.promise, pytest.mark.timeout(900)]


def test_forked_writers_leave_no_trace_but_their_counts(scenario, segments, size):
    """Ten thousand forked writers leave a constant number of files, an exact total and a scrape time that is flat."""
    writers = size(10_000, 1_000)
    found = scenario("forks", directory=segments, writers=writers)
    print(
        f"\npromise forks: {writers:,} writers, {found['late_files']} files, {found['checkouts']:,.0f} counted, "
        f"scrape {found['early_seconds'] * 1e3:.2f} ms after 100, {found['late_seconds'] * 1e3:.2f} ms after all"
    )
    assert found["late_files"] == found["early_files"] == 2
    assert found["checkouts"] == found["waits"] == writers
    assert found["wait_seconds"] == writers * 0.25
    assert found["late_seconds"] <= 3 * found["early_seconds"]
