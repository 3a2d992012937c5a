from __future__ import annotations

import pytest

pytestmark = [pytest.mark.promise, pytest.mark.timeout(600)]

CONNECTIONS = 10  # in the pool of the scenario


def test_pre_ping_hides_killed_connections_and_each_is_counted(scenario, segments, mariadb_database, size):
    """With pre_ping no killed connection reaches the client, and each one replaced is counted as a retry."""
    killed = size(200, 60)
    found = scenario("stale", directory=segments, part="kills", url=mariadb_database, count=killed, pre_ping=True)
    print(
        f"\npromise stale, pre_ping: {found['killed']} killed, errors {found['errors']}, "
        f"{found['replaced']} replaced, retries {found['retries']}, found by {found['detected_by']}"
    )
    assert found["killed"] == killed <= found["replaced"]
    assert found["errors"] == {}
    assert found["retries"] == {"success": found["replaced"]}
    assert sum(found["detected_by"].values()) == found["replaced"]
    assert found["levels"] == found["pool_levels"] == [CONNECTIONS, 0]


def test_without_pre_ping_each_error_is_counted_by_code(scenario, segments, mariadb_database, size):
    """Without pre_ping each killed connection that the client stumbled over is counted by the server's code."""
    killed = size(200, 60)
    found = scenario("stale", directory=segments, part="kills", url=mariadb_database, count=killed, pre_ping=False)
    print(
        f"\npromise stale, no pre_ping: {found['killed']} killed, errors {found['errors']}, "
        f"counted {found['by_statement']}, retries {found['retries']}, found by {found['detected_by']}"
    )
    assert sum(found["errors"].values()) == killed
    assert found["by_statement"] == found["errors"]
    assert found["levels"] == found["pool_levels"]


@pytest.mark.parametrize("pre_ping", [True, False], ids=["pre_ping", "no_pre_ping"])
def test_a_wait_timeout_is_counted_as_a_kill_is(scenario, segments, mariadb_database, pre_ping):
    """Connections that the server closed for their idleness are replaced unseen with pre_ping, else counted by code."""
    found = scenario("stale", directory=segments, part="idle", url=mariadb_database, pre_ping=pre_ping)
    print(
        f"\npromise stale, wait_timeout, {'pre_ping' if pre_ping else 'no pre_ping'}: {found['killed']} closed, "
        f"errors {found['errors']}, counted {found['by_statement']}, retries {found['retries']}"
    )
    assert found["killed"] == CONNECTIONS
    if pre_ping:
        assert found["errors"] == found["by_statement"] == {}
        assert found["retries"] == {"success": CONNECTIONS}
        assert found["replaced"] == CONNECTIONS
    else:
        assert sum(found["errors"].values()) == CONNECTIONS
        assert found["by_statement"] == found["errors"]


def test_mysqls_own_code_for_idleness_is_counted(scenario, segments, mariadb_database):
    """Error 4031, which MySQL has and MariaDB has not, is counted as a stale connection."""
    found = scenario("stale", directory=segments, part="inactive", url=mariadb_database)
    print(f"\npromise stale, 4031: errors {found['errors']}, counted {found['by_statement']}")
    assert found["errors"] == found["by_statement"] == {"4031": CONNECTIONS}


def test_an_outage_is_counted_and_leaves_the_levels_right(scenario, segments, mariadb, size):
    """While the server is away each failed connect is counted by code; when it is back all is as the pool says."""
    attempts = size(50, 20)
    found = scenario("stale", directory=segments, part="outage", attempts=attempts)
    down, up = found["down"], found["up"]
    print(
        f"\npromise stale, outage: {attempts} attempts, errors {down['errors']}, counted {down['connect_errors']}, "
        f"retries {up['retries']}; back: errors {up['errors']}, opened {up['opened'][0]:.0f}, "
        f"idle and used {up['levels']}"
    )
    assert down["errors"] == down["connect_errors"] == {"2003": attempts}
    assert down["levels"] == down["pool_levels"]
    assert up["errors"] == {}
    assert up["connect_errors"] == down["connect_errors"]
    # Each of the connections was found stale once, and its retry ended once.
    assert sum(up["detected_by"].values()) == sum(up["retries"].values()) == CONNECTIONS
    assert up["opened"] == [2 * CONNECTIONS, 2 * CONNECTIONS]
    assert up["levels"] == up["pool_levels"] == [CONNECTIONS, 0]
