from __future__ import annotations

import pytest

pytestmark = [pytest.mark.promise, pytest.mark.timeout(1800)]


def test_totals_survive_a_kill_at_any_time(scenario, segments, size):
    """Writers and adopters killed ten thousand times at random lose and double nothing, and no reader sees a fall."""
    found = scenario("kills", directory=segments, kills=size(10_000, 1_000), seed=size(1, 2))
    print(
        f"\npromise kill-anywhere: {found['kills']:,} killed, {found['claiming']:,} of them in their claim, "
        f"{found['uncertain']:,} amid an operation; {found['checkouts']:,.0f} checkouts, {found['leaks']:,.0f} leaks, "
        f"{found['died']:,.0f} died with their process: {len(found['wrong'])} times not the truth\n"
        f"  {found['readings']:,} readings at {found['rate']:,.0f} Hz, {len(found['falls'])} falls; "
        f"{found['files']} files"
    )
    assert found["wrong"] == []
    assert found["falls"] == []
    assert found["unreadable"] == 0
    assert found["files"] == 2
    assert min(found["claiming"], found["writing"], found["died"]) > found["kills"] / 20


def test_a_kill_at_each_instruction_changes_no_total(scenario, segments, size):
    """Killed before each instruction of a claim, a checkout, a checkin or a count, the next claim serves the truth."""
    found = scenario("opcodes", directory=segments, kills=size(0, 100), seed=1)
    kills = sum(each["kills"] for each in found.values())
    print(f"\npromise kill-at-each-instruction: {kills:,} killed, in {len(found)} operations:")
    for name, each in found.items():
        print(f"  {name}: {each['instructions']:,} instructions, {each['kills']:,} kills, {len(each['wrong'])} wrong")
    assert {name: each["wrong"] for name, each in found.items() if each["wrong"]} == {}
