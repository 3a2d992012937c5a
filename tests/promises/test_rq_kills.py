from __future__ import annotations

import pytest

pytestmark = [pytest.mark.promise, pytest.mark.timeout(3600)]


def test_killed_horses_and_workers_lose_and_double_no_count(scenario, segments, redis_server, mariadb_database, size):
    """Killed 2,000 times at random, each job and checkout counts once, and what was held died with its process."""
    kills = size(2_000, 30)
    found = scenario(
        "rq_kills",
        directory=segments,
        redis=redis_server.url,
        database=mariadb_database,
        kills=kills,
        seed=size(1, 2),
    )
    print(
        f"\npromise RQ kills: {kills:,} kills ({found['horses']:,} horses, {found['workers']} workers, {found['both']} "
        f"both), {found['certain']:,} between two operations; held then {found['least_held']:,} to {found['held']:,} "
        f"connections, {found['died']:g} died_with_process; {len(found['wrong'])} times not the truth; "
        f"{found['files']} files; afterwards {found['levels']}"
    )
    assert found["wrong"] == []
    assert found["horses"] + found["workers"] + found["both"] == kills
    assert found["certain"] > kills / 2
    assert found["least_held"] <= found["died"] <= found["held"]
    assert found["died"] > kills / 2
    assert found["levels"] == {"idle": 2, "used": 3, "server": 5}
    assert found["dropped"] == 0
