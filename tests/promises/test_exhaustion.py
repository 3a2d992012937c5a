from __future__ import annotations

import pytest

pytestmark = [pytest.mark.promise, pytest.mark.timeout(600)]

THREADS = 12


def test_an_exhausted_pool_shows_who_waits_and_who_gave_up(scenario, segments, mariadb_database, size):
    """While a pool is exhausted its waiters, waits and timeouts are those of the threads; after it nobody waits."""
    rounds = size(20, 3)
    found = scenario("exhaustion", directory=segments, url=mariadb_database, threads=THREADS, rounds=rounds)
    for name, each in found.items():
        print(
            f"\npromise exhaustion, {name}: {rounds} x {THREADS} threads, waiting {max(each['seen_waiting']):.0f}, "
            f"left waiting {max(each['left_waiting']):.0f}, timeouts {each['timeouts']}, "
            f"counted {each['counted_timeouts']:.0f}\n"
            f"  served {each['served'] + each['held']} in {each['waited_seconds']:.3f} s, "
            f"counted {each['counted_waits']:.0f} in {each['counted_seconds']:.3f} s"
        )
        assert each["seen_waiting"] == [THREADS] * rounds
        assert each["left_waiting"] == [0] * rounds
        assert each["used"] == 3
        assert each["timeouts"] == each["counted_timeouts"]
        assert each["counted_waits"] == each["counted_checkouts"] == each["served"] + each["held"]
    assert found["given up"]["timeouts"] == found["served"]["served"] == rounds * THREADS
    # The threads' own clocks run a little longer than the pool's.
    for each in found.values():
        assert 0.9 * each["waited_seconds"] - 0.1 <= each["counted_seconds"] <= each["waited_seconds"]
    assert found["served"]["counted_seconds"] > 0.3 * rounds * THREADS
