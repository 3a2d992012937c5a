"""The pool probe on SQLite, where the database does not matter; on servers: test_stale.py and tests/promises."""

from __future__ import annotations

import asyncio
import gc
import math
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy
from sqlalchemy import create_engine, event, exc, text
from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session
from sqlalchemy.pool import AssertionPool, NullPool, Pool, QueuePool, SingletonThreadPool, StaticPool

from tests.probe.conftest import Measured
from ullage.probe import pool as probe

ENGINE = "orders"
POOLS = [QueuePool, NullPool, StaticPool, SingletonThreadPool, AssertionPool]
SETTINGS = "sqlalchemy_pool_setting"


@pytest.fixture
def make_engine(tmp_path: Path, measured: Measured) -> Iterator[Callable[..., Engine]]:
    """Make engines on one SQLite file, all with the logging name that labels them."""
    made = []

    def make(**options: Any) -> Engine:
        options = {"poolclass": QueuePool, "pool_logging_name": ENGINE, **options}
        url = f"sqlite:///{tmp_path}/orders.db"
        made.append(create_engine(url, connect_args={"check_same_thread": False}, **options))
        return made[-1]

    yield make
    for engine in made:
        engine.dispose()


def value(measured: Measured, name: str, **labels: str) -> float | None:
    """Return the sample of the test's engine."""
    return measured.value(name, engine=ENGINE, **labels)


class TestCheckouts:
    """Counting checkouts, waits and use."""

    @pytest.mark.parametrize("poolclass", POOLS, ids=lambda c: c.__name__)
    def test_every_checkout_is_counted_and_timed_once(self, make_engine, measured, poolclass):
        """Checkouts, waits and uses are the same number, whatever the kind of pool."""
        engine = make_engine(poolclass=poolclass)
        for _ in range(5):
            with engine.connect() as connection:
                connection.execute(text("SELECT 1"))
        assert value(measured, "sqlalchemy_pool_checkouts_total") == 5
        assert value(measured, "sqlalchemy_pool_checkout_wait_seconds_count") == 5
        assert value(measured, "sqlalchemy_pool_connection_use_seconds_count") == 5

    @pytest.mark.parametrize("poolclass", POOLS, ids=lambda c: c.__name__)
    def test_levels_are_right_through_invalidate_detach_and_dispose(self, make_engine, measured, poolclass):
        """Nothing is in use, and what was opened is closed or open, after all ways for a connection to end."""
        engine = make_engine(poolclass=poolclass)
        connection = engine.connect()
        connection.invalidate()
        connection.execute(text("SELECT 1"))
        connection.close()
        connection = engine.connect()
        connection.detach()
        connection.close()
        with engine.connect():
            assert value(measured, "sqlalchemy_pool_connections", state="used") == 1
        engine.dispose()
        gc.collect()
        opened = value(measured, "sqlalchemy_pool_connections_opened_total")
        closed = measured.by("sqlalchemy_pool_connections_closed_total", "reason")
        assert closed["invalidated"] == closed["detached"] == 1
        still_open = engine.pool.checkedin() if poolclass is QueuePool else 0
        # StaticPool and AssertionPool forget their connection at dispose without closing it, before SQLAlchemy 2.
        assert opened - sum(closed.values()) - still_open in ((0, 1) if poolclass is AssertionPool else (0,))

    def test_dispose_keeps_counting(self, make_engine, measured):
        """An engine's recreated pool goes on in the same series, and the old pool's gauges are given back."""
        engine = make_engine()
        engine.connect().close()
        engine.dispose()
        engine.connect().close()
        gc.collect()
        assert value(measured, "sqlalchemy_pool_checkouts_total") == 2
        assert value(measured, "sqlalchemy_pools") == 1
        assert measured.by("sqlalchemy_pool_connections_closed_total", "reason") == {"disposed": 1}

    def test_two_engines_of_one_name_add_up(self, make_engine, measured):
        """Gauges of two live pools with one label are summed, not overwritten."""
        first, second = make_engine(), make_engine()
        with first.connect(), second.connect(), second.connect():
            assert value(measured, "sqlalchemy_pool_connections", state="used") == 3
            assert value(measured, "sqlalchemy_pools") == 2

    def test_an_engine_per_job_leaves_no_gauges_behind(self, make_engine, measured):
        """A thousand engines, one after another, take the gauges of one."""
        for _ in range(1000):
            engine = create_engine("sqlite://", poolclass=QueuePool, pool_logging_name="per job")
            engine.connect().close()
            engine.dispose()
            del engine
        gc.collect()
        writer = measured.process.writer
        assert measured.value("sqlalchemy_pools", engine="per job") is None
        assert writer._gauges_used < 400

    def test_a_checkout_that_gives_up_is_a_timeout(self, make_engine, measured):
        """QueuePool's limit reached is counted, the wait ends, and the checkout is not counted."""
        engine = make_engine(pool_size=1, max_overflow=0, pool_timeout=0.01)
        with engine.connect(), pytest.raises(exc.TimeoutError):
            engine.connect()
        assert value(measured, "sqlalchemy_pool_timeouts_total") == 1
        assert value(measured, "sqlalchemy_pool_checkouts_total") == 1
        assert value(measured, "sqlalchemy_pool_waiting_requests") == 0

    def test_a_connection_that_cannot_be_opened_is_counted_by_code(self, make_engine, measured):
        """A failing creator counts as a connect error, not as a checkout."""
        engine = make_engine(creator=lambda: (_ for _ in ()).throw(exc.SQLAlchemyError("down")))
        with pytest.raises(exc.SQLAlchemyError):
            engine.connect()
        assert measured.by("sqlalchemy_pool_connect_errors_total", "code") == {"SQLAlchemyError": 1}
        assert value(measured, "sqlalchemy_pool_checkouts_total") == 0

    def test_a_listener_that_refuses_a_connection_does_not_count_twice(self, make_engine, measured):
        """A checkout listener's DisconnectionError makes SQLAlchemy retry inside one checkout."""
        engine = make_engine()
        engine.connect().close()
        refusals = iter([True, False])

        @event.listens_for(engine, "checkout")
        def refuse(*_: object) -> None:
            if next(refusals):
                raise exc.DisconnectionError

        engine.connect().close()
        assert value(measured, "sqlalchemy_pool_checkouts_total") == 2
        assert measured.by("sqlalchemy_pool_stale_connection_retries_total", "outcome") == {"success": 1}

    def test_overflow_and_peak_are_seen(self, make_engine, measured):
        """Connections beyond pool_size show as overflow while they are open; the peak stays."""
        engine = make_engine(pool_size=1, max_overflow=2)
        connections = [engine.connect() for _ in range(3)]
        assert value(measured, "sqlalchemy_pool_overflow_connections") == 2
        for connection in connections:
            connection.close()
        assert value(measured, "sqlalchemy_pool_overflow_connections") == 0
        assert value(measured, "sqlalchemy_pool_connections_peak") == 3
        assert value(measured, "sqlalchemy_pool_connections_max") == 3
        assert measured.by("sqlalchemy_pool_connections_closed_total", "reason") == {"overflow": 2}

    def test_settings_are_metrics(self, make_engine, measured):
        """The pool's settings in force are visible, and no limit reads as +Inf."""
        make_engine(pool_size=3, max_overflow=-1, pool_timeout=7, pool_recycle=90, pool_pre_ping=True).connect().close()
        found = measured.by(SETTINGS, "setting")
        assert found == {"size": 3, "max_overflow": -1, "timeout": 7, "recycle": 90, "pre_ping": 1}
        assert value(measured, "sqlalchemy_pool_connections_max") == math.inf

    def test_recycled_connections_are_told_apart(self, make_engine, measured):
        """A connection older than pool_recycle is closed as recycled, which is no retry."""
        engine = make_engine(pool_recycle=60)
        with engine.connect() as connection:
            connection.connection._connection_record.starttime -= 61
        engine.connect().close()
        assert measured.by("sqlalchemy_pool_connections_closed_total", "reason") == {"recycled": 1}
        assert measured.by("sqlalchemy_pool_stale_connection_retries_total", "outcome") == {}

    def test_engines_without_a_name_are_labelled_by_url(self, tmp_path, measured):
        """The label is dialect://host/database, without user and password."""
        engine = create_engine(f"sqlite:///{tmp_path}/x.db")
        engine.connect().close()
        assert measured.value("sqlalchemy_pool_checkouts_total", engine=f"sqlite:///{tmp_path}/x.db") == 1

    def test_asyncio_engines_are_measured(self, tmp_path, measured):
        """AsyncAdaptedQueuePool: tasks on one thread wait, time out and are attributed to the coroutine's line."""
        asyncio_ext = pytest.importorskip("sqlalchemy.ext.asyncio")
        engine = asyncio_ext.create_async_engine(
            f"sqlite+aiosqlite:///{tmp_path}/a.db", pool_logging_name=ENGINE, pool_size=2, max_overflow=0,
            poolclass=sqlalchemy.pool.AsyncAdaptedQueuePool,
        )  # fmt: skip
        sites = []

        async def query() -> None:
            async with engine.connect() as connection:
                await connection.execute(text("SELECT 1"))
                held = probe_state(engine.sync_engine).out.values()
                words = measured.process.writer.words
                sites.extend(measured.process.writer.text(words[slot + 3]) for slot, *_ in held)

        async def main() -> None:
            await asyncio.gather(*(query() for _ in range(10)))
            await engine.dispose()

        asyncio.run(main())
        assert value(measured, "sqlalchemy_pool_checkouts_total") == 10
        assert value(measured, "sqlalchemy_pool_connection_use_seconds_count") == 10
        assert value(measured, "sqlalchemy_pool_connections_opened_total") == 2
        assert all("test_pool.py" in site and "query" in site for site in sites)


def probe_state(engine: Engine) -> Any:
    """Return what the probe keeps on an engine's pool."""
    return engine.pool.__dict__[probe.STATE]


class TestWaiting:
    """Requests that wait for a connection."""

    def test_waiting_requests_are_seen_while_they_wait(self, make_engine, measured, wait_for):
        """Three threads wait for one connection: three waiting; none once it is returned; their wait is observed."""
        engine = make_engine(pool_size=1, max_overflow=0, pool_timeout=30)
        held = engine.connect()
        threads = [threading.Thread(target=lambda: engine.connect().close()) for _ in range(3)]
        for thread in threads:
            thread.start()
        wait_for(lambda: value(measured, "sqlalchemy_pool_waiting_requests") == 3, 10, "three waiting requests")
        held.close()
        for thread in threads:
            thread.join()
        assert value(measured, "sqlalchemy_pool_waiting_requests") == 0
        assert value(measured, "sqlalchemy_pool_checkouts_total") == 4


class TestLeaks:
    """Connections that nobody released."""

    def test_a_connection_that_the_collector_brings_back_is_a_leak(self, make_engine, measured):
        """A session dropped in a transaction is counted as reclaimed_by_gc, with the line that used it."""
        engine = make_engine()

        def drop() -> None:
            Session(engine).execute(text("SELECT 1"))

        drop()
        gc.collect()
        assert measured.value("ullage_leaks_total", kind="reclaimed_by_gc") == 1
        (leak,) = measured.collector.leaks()
        assert leak["site"].startswith("tests/probe/test_pool.py:")
        assert "drop" in leak["site"]
        assert len(leak["frames"]) > 1

    def test_a_connection_out_over_the_threshold_is_seen_and_then_counted(self, make_engine, measured):
        """It shows as unreleased while it is out; its return counts it once, and as recovered."""
        measured.restart(leak_threshold_seconds=1e-9)
        engine = make_engine()
        connection = engine.connect()
        assert sum(measured.by("sqlalchemy_unreleased_sessions", "site").values()) == 1
        assert value(measured, "sqlalchemy_oldest_checkout_seconds") > 0
        assert measured.value("ullage_leaks_total", kind="over_threshold") == 0
        connection.close()
        assert measured.value("ullage_leaks_total", kind="over_threshold") == 1
        assert value(measured, "sqlalchemy_unreleased_sessions_recovered_total") == 1
        assert value(measured, "sqlalchemy_oldest_checkout_seconds") == 0

    def test_a_pool_collected_with_a_connection_out_leaves_no_slot_behind(self, measured):
        """Engine, session and connection dropped together: counted as reclaimed by the collector."""
        engine = create_engine("sqlite://", poolclass=QueuePool, pool_logging_name=ENGINE)
        session = Session(engine)
        session.execute(text("SELECT 1"))
        del engine, session
        gc.collect()
        assert measured.value("ullage_leaks_total", kind="reclaimed_by_gc") == 1
        assert not value(measured, "sqlalchemy_oldest_checkout_seconds")

    def test_every_slot_taken_is_said_and_harms_nothing(self, make_engine, measured):
        """More connections out than there are slots: all are counted, and those without a slot are counted as such."""
        engine = make_engine(pool_size=300)
        connections = [engine.connect() for _ in range(270)]
        for connection in connections:
            connection.close()
        assert value(measured, "sqlalchemy_pool_checkouts_total") == 270
        assert value(measured, "sqlalchemy_pool_connection_use_seconds_count") == 270
        assert measured.by("ullage_dropped_series_total", "table") == {"slots": 14}


class TestInstall:
    """Installing, enforcing, and failing."""

    def test_a_second_install_changes_nothing(self, measured):
        """Installing again finds the mark on the class and wraps nothing twice."""
        connect = Pool.connect
        assert probe.install(measured.process) is None
        assert Pool.connect is connect

    def test_the_application_pays_no_events(self, make_engine, measured):
        """No event is set that would make SQLAlchemy handle events for every statement or checkout."""
        engine = make_engine()
        engine.connect().close()
        assert not engine._has_events
        assert not engine.pool.dispatch.checkout
        assert not engine.pool.dispatch.checkin

    def test_pre_ping_can_be_enforced(self, make_engine, measured):
        """ULLAGE_PRE_PING=enforce turns pre-ping on before the first checkout, and the setting shows it."""
        measured.restart(pre_ping="enforce")
        engine = make_engine()
        engine.connect().close()
        assert engine.pool._pre_ping
        assert value(measured, SETTINGS, setting="pre_ping") == 1
        engine.dispose()
        assert engine.pool._pre_ping

    def test_a_probe_that_fails_goes_quiet(self, make_engine, measured, monkeypatch, caplog):
        """An error inside the probe is logged once, the wraps come off, and the application gets its connection."""
        engine = make_engine()
        with engine.connect() as held:
            wraps = [(kind, name, wrapped) for kind, name, _, wrapped in wrapped_methods(measured)]
            probe_state(engine).sites = None
            for _ in range(3):
                engine.connect().close()
            assert held.execute(text("SELECT 1")).scalar() == 1
        assert Pool.connect is not wraps[0][2]
        assert measured.value("ullage_probe_up", probe="pool") == 0
        assert value(measured, "sqlalchemy_pools") is None
        assert value(measured, "sqlalchemy_oldest_checkout_seconds") is None
        assert len([record for record in caplog.records if record.name == "ullage"]) == 1
        measured.process.probes["pool"].failed = False
        for kind, name, wrapped in wraps:
            setattr(kind, name, wrapped)


def wrapped_methods(measured: Measured) -> list[tuple[type, str, Any, Any]]:
    """Return class, name, original and wrapper of what the probe has wrapped."""
    return measured.process.probes["pool"].silence.__self__.wraps.methods
