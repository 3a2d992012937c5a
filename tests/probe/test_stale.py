"""Stale connections on real servers. At full size: tests/promises."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import create_engine, exc, text
from sqlalchemy.engine import Engine
from sqlalchemy.pool import QueuePool

from tests.probe.conftest import Measured
from ullage.probe.stale import code_of

STALE = "sqlalchemy_pool_stale_connections_total"
RETRIES = "sqlalchemy_pool_stale_connection_retries_total"
CLOSED = "sqlalchemy_pool_connections_closed_total"
# What a killed connection is to each server's driver.
KILLED = {"mariadb": "2013", "postgres": "57P01"}


@pytest.fixture(params=list(KILLED))
def server(request: pytest.FixtureRequest) -> Any:
    """Each kind of server."""
    return request.getfixturevalue(request.param)


@pytest.fixture
def make_engine(server: Any, measured: Measured) -> Iterator[Callable[..., Engine]]:
    """Make engines on the server."""
    made = []

    def make(**options: Any) -> Engine:
        made.append(create_engine(server.url(), poolclass=QueuePool, pool_logging_name="shop", **options))
        return made[-1]

    yield make
    for engine in made:
        engine.dispose()


def use(engine: Engine, connections: int) -> None:
    """Use several connections at once, then return them."""
    opened = [engine.connect() for _ in range(connections)]
    for connection in opened:
        connection.execute(text("SELECT 1"))
    for connection in opened:
        connection.close()


def found(measured: Measured, name: str) -> dict[tuple[str, ...], float]:
    """Return the non-zero samples of a metric by code and what found it, or by outcome or reason."""
    labels = ("code", "detected_by", "outcome", "reason")
    samples = [sample for family in measured.collector.collect() for sample in family.samples if sample.name == name]
    return {tuple(s.labels[label] for label in labels if label in s.labels): s.value for s in samples if s.value}


def test_pre_ping_replaces_every_stale_connection_and_counts_each(server, make_engine, measured):
    """One connection fails its ping, the pool replaces the others unasked, and each is one retry."""
    engine = make_engine(pool_pre_ping=True)
    use(engine, 3)
    assert server.kill_connections() >= 3
    use(engine, 3)
    code = found(measured, STALE)
    pings = [value for (_, detected_by), value in code.items() if detected_by == "pre_ping"]
    assert sum(pings) >= 1
    assert sum(code.values()) == 3
    assert found(measured, RETRIES) == {("success",): 3}
    assert sum(found(measured, CLOSED).values()) == 3


def test_without_pre_ping_the_statements_error_is_counted_by_code(server, make_engine, measured, request):
    """The application sees the error once; the pool's other connections are replaced before it sees theirs."""
    engine = make_engine()
    use(engine, 3)
    server.kill_connections()
    with engine.connect() as connection, pytest.raises(exc.DBAPIError) as caught:
        connection.execute(text("SELECT 1"))
    assert caught.value.connection_invalidated
    use(engine, 3)
    code = code_of(caught.value.orig)
    assert code in (KILLED[request.node.callspec.params["server"]], "OperationalError", "2006")
    assert found(measured, STALE) == {(code, "statement"): 1, (code, "pool_invalidation"): 2}
    assert found(measured, RETRIES) == {("success",): 2}


def test_a_server_that_is_gone_is_a_failed_retry(server, make_engine, measured):
    """The replacement fails too: one retry with outcome failure, and a connect error."""
    engine = make_engine(pool_pre_ping=True)
    use(engine, 1)
    server.stop()
    try:
        with pytest.raises(exc.OperationalError):
            engine.connect()
        assert found(measured, RETRIES) == {("failure",): 1}
        assert sum(found(measured, "sqlalchemy_pool_connect_errors_total").values()) == 1
    finally:
        server.start()
    use(engine, 1)
    assert measured.value("sqlalchemy_pool_connections", engine="shop", state="idle") == 1
    assert measured.value("sqlalchemy_pool_connections", engine="shop", state="used") == 0


def test_a_replacement_on_the_applications_wish_is_not_stale(make_engine, measured):
    """connection.invalidate() closes a connection; it is neither stale nor a retry."""
    engine = make_engine()
    with engine.connect() as connection:
        connection.invalidate()
    use(engine, 1)
    assert found(measured, STALE) == found(measured, RETRIES) == {}
    assert found(measured, CLOSED) == {("invalidated",): 1}


@pytest.mark.parametrize(
    ("error", "code"),
    [
        pytest.param(Exception(2006, "gone away"), "2006", id="mysql"),
        pytest.param(Exception(), "Exception", id="nothing"),
        pytest.param(Exception("text"), "Exception", id="text"),
        pytest.param(type("E", (Exception,), {"sqlstate": "57P01"})(), "57P01", id="postgres"),
    ],
)
def test_codes_are_the_servers_own(error, code):
    """The numeric code of MySQL's drivers, PostgreSQL's SQLSTATE, else the class's name."""
    assert code_of(error) == code
