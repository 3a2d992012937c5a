from __future__ import annotations

import pytest

pytestmark = [pytest.mark.promise, pytest.mark.timeout(900)]

THREADS = 12


def test_counts_are_exact_under_contention(scenario, segments, tmp_path, size):
    """Twelve threads that fight for a small pool are counted exactly: checkouts, waits and uses."""
    each = size(15_000, 1_500)
    database = tmp_path / "contention.db"
    measured = scenario("contention", directory=segments, database=database, threads=THREADS, each=each)
    for name, found in measured.items():
        print(f"\npromise contention {name}: {THREADS} threads x {each:,} checkouts, counted {found['checkouts']:,.0f}")
        assert found["truth"] == THREADS * each
        assert found["checkouts"] == found["waits"] == found["uses"] == found["truth"]
        assert (found["idle"], found["used"]) == (found["pool_idle"], found["pool_used"])
        assert found["waiting"] == found["dropped"] == found["leaks"] == 0


def test_series_that_are_born_at_once_are_all_there(scenario, segments, size):
    """Threads that make new series at the same time get a cell each, and no reader misses one that it saw."""
    found = scenario("births", directory=segments, rounds=size(1_000, 50))
    print(
        f"\npromise births: {found['series']:,} series by 12 threads, {found['wrong']} wrong, "
        f"{found['fell']} fell in {found['readings']:,} readings meanwhile"
    )
    assert found["readings"] > 0
    assert found["wrong"] == found["fell"] == 0


def test_an_interrupt_passes_through_the_probe(scenario, segments, size):
    """A timeout raised at any instruction of a checkout or checkin reaches its owner and leaves the probe in order."""
    rounds = size(10, 1)
    found = scenario("interrupts", directory=segments, rounds=rounds, seed=rounds)
    others = found["dropped_by_sqlalchemy"] + found["dropped_by_python"]
    print(
        f"\npromise interrupts: {found['raised']:,} raised, {found['caught']:,} caught, "
        f"{found['dropped_by_sqlalchemy']} dropped by SQLAlchemy's reset, {found['dropped_by_python']} by Python's "
        f"finalizers, {found['raised'] - found['caught'] - others} by the probe; {found['lost']} connections lost by "
        f"SQLAlchemy, {found['recovered']:,.0f} collected"
    )
    assert found["raised"] == rounds * 1_000 == found["caught"] + others
    assert found["probe_up"] == 1
    assert found["dropped_slots"] == 0
    # Those that were collected came back; those that were lost went with their pool, where that was collected.
    assert found["leaks"] == found["collected"] == found["recovered"] + found["lost"] - found["kept"]
    assert found["slots_in_use"] == found["kept"]
    for each in found["rounds"]:
        assert each["waiting"] == 0
        assert each["slots_in_use"] == each["lost"]
        assert each["levels"] == each["pool_levels"]
