"""Connections without a session: raw ones, Core's, other pools, detached and kept ones."""

from __future__ import annotations

import gc

from sqlalchemy import create_engine, text
from sqlalchemy.orm import Session

import ullage
from tests.promises.leak_zoo.expect import innocent, leaks
from tests.promises.leak_zoo.places import _URL, ONE, WIDE, engine, keep, unpooled_engine


@leaks()
def raw_connection() -> None:
    keep(engine.raw_connection()).cursor().execute("SELECT 1")  # <- here


@leaks(kind="reclaimed_by_gc")
def raw_connection_dropped() -> None:
    engine.raw_connection()  # <- here


@leaks()
def core_connection() -> None:
    keep(engine.connect()).execute(ONE)  # <- here


@leaks()
def core_transaction() -> None:
    connection = keep(engine.connect())  # <- here
    connection.begin()


@leaks()
def stream_of_core() -> None:
    connection = engine.connect().execution_options(stream_results=True)  # <- here
    keep(connection.execute(text("SELECT 1 UNION SELECT 2"))).fetchone()


@leaks()
def unpooled_connection() -> None:
    keep(unpooled_engine.connect())  # <- here


@leaks()
def engine_made_in_the_job() -> None:
    keep(create_engine(_URL, pool_logging_name="made", **WIDE).connect())  # <- here


@leaks(kind="reclaimed_by_gc")
def engine_dropped_with_its_connection() -> None:
    made = create_engine(_URL, pool_logging_name="dropped", **WIDE)
    connection = made.connect()  # <- here
    connection.execute(ONE)
    del made, connection
    gc.collect()


@leaks()
def session_on_a_connection() -> None:
    connection = keep(engine.connect())  # <- here
    keep(Session(connection)).execute(ONE)


@leaks()
def pool_used_directly() -> None:
    keep(engine.pool.connect())  # <- here


@innocent
def connection_in_with() -> None:
    with engine.begin() as connection:
        connection.execute(ONE)


@innocent
def unpooled_connection_closed() -> None:
    with unpooled_engine.connect() as connection:
        connection.execute(ONE)


@innocent
def raw_connection_closed() -> None:
    connection = engine.raw_connection()
    try:
        connection.cursor().execute("SELECT 1")
    finally:
        connection.close()


@innocent
def detached() -> None:
    connection = keep(engine.connect())
    connection.detach()


@innocent
def invalidated() -> None:
    connection = keep(engine.connect())
    connection.invalidate()


@innocent
def engine_disposed() -> None:
    made = create_engine(_URL, pool_logging_name="disposed", **WIDE)
    with made.connect() as connection:
        connection.execute(ONE)
    made.dispose()


@innocent
@ullage.policy("ignore")
def kept_and_declared_by_the_function() -> None:
    keep(engine.connect())


def take_lock() -> None:
    """Named in the test's ULLAGE_POLICY_OVERRIDES as a site at which connections are kept."""
    keep(engine.connect())


@innocent
def kept_and_declared_by_the_site() -> None:
    take_lock()


@innocent
@ullage.policy("ignore")
def kept_session_and_declared() -> None:
    keep(Session(engine)).execute(ONE)
