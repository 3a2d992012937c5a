"""A client of a real MariaDB whose connections are killed, time out, or lose their server altogether."""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pymysql
from pymysql.cursors import Cursor
from sqlalchemy import create_engine, event, make_url, text
from sqlalchemy.exc import OperationalError

import ullage
from tests.promises.readings import Page
from tests.promises.scenarios import run
from tests.servers import MariaDB, wait_for

SIZE = 10
NAME = "shop"
INACTIVE = 4031  # MySQL 8.0.24 and later say so when they close an idle connection; MariaDB never does
IDLE_SECONDS = 1


class InactiveCursor(Cursor):
    """Fails at one statement as MySQL does after its wait_timeout."""

    def execute(self, query: Any, args: Any = None) -> int:
        """Run a statement."""
        if "inactive" in query:
            raise pymysql.err.OperationalError(
                INACTIVE, "The client was disconnected by the server because of inactivity"
            )
        return super().execute(query, args)


class Client:
    """An application with one pool. `errors` counts by code what reached it, `opened` the connections it made."""

    def __init__(self, url: str, *, pre_ping: bool, **connect_args: Any) -> None:
        self.engine = create_engine(
            url,
            pool_size=SIZE,
            max_overflow=0,
            pool_pre_ping=pre_ping,
            pool_logging_name=NAME,
            connect_args=connect_args,
        )
        self.errors: Counter[str] = Counter()
        self.opened = 0
        event.listen(self.engine, "connect", self._count_opened)

    def _count_opened(self, *_: object) -> None:
        self.opened += 1

    def use(self, statement: str = "SELECT CONNECTION_ID()") -> set[int]:
        """Check out all connections at once, run a statement on each, and return the server's ids of those."""
        all_out = threading.Barrier(SIZE)

        def ask(_: int) -> int | None:
            try:
                with self.engine.connect() as connection:
                    all_out.wait()
                    return int(connection.execute(text(statement)).scalar_one())
            except OperationalError as error:
                self.errors[str(error.orig.args[0])] += 1  # type: ignore[union-attr]  # a driver's error has it
                return None

        with ThreadPoolExecutor(SIZE) as threads:
            return {number for number in threads.map(ask, range(SIZE)) if number is not None}

    def use_one_after_another(self, times: int) -> None:
        """Check out one connection after another."""
        for _ in range(times):
            try:
                with self.engine.connect() as connection:
                    connection.execute(text("SELECT 1"))
            except OperationalError as error:
                self.errors[str(error.orig.args[0])] += 1  # type: ignore[union-attr]  # a driver's error has it


class Admin:
    """The server's own view of its connections."""

    def __init__(self, url: str) -> None:
        parts = make_url(url)
        self._connection = pymysql.connect(
            host=parts.host or "", port=parts.port or 0, user=parts.username, password=parts.password, autocommit=True
        )

    def kill(self, numbers: set[int]) -> None:
        """Kill connections and wait until the server has none of them."""
        for number in numbers:
            self._execute(f"KILL CONNECTION {number}")
        self.wait_for_end(numbers)

    def wait_for_end(self, numbers: set[int]) -> None:
        """Wait until the server has none of these connections."""
        wait_for(lambda: numbers.isdisjoint(self._numbers()), 30, "the end of connections")

    def _numbers(self) -> set[int]:
        return {row[0] for row in self._execute("SELECT id FROM information_schema.processlist")}

    def _execute(self, sql: str) -> Any:
        with self._connection.cursor() as cursor:
            cursor.execute(sql)
            return cursor.fetchall()


def kills(directory: str, url: str, count: int, pre_ping: bool) -> dict[str, Any]:
    """Kill some or all of the pooled connections, in rounds."""
    client, admin, source = Client(url, pre_ping=pre_ping), Admin(url), random.Random(count)
    killed, replaced, ids = 0, 0, client.use()
    while killed < count:
        victims = set(source.sample(sorted(ids), min(source.choice((1, 3, len(ids))), count - killed)))
        admin.kill(victims)
        killed += len(victims)
        now = client.use()
        replaced += len(ids - now)
        ids = now if len(now) == SIZE else client.use()
    return {"killed": killed, "replaced": replaced, **_served(directory, client)}


def idle(directory: str, url: str, pre_ping: bool) -> dict[str, Any]:
    """Leave the connections alone until the server has closed them for their idleness."""
    client = Client(url, pre_ping=pre_ping, init_command=f"SET SESSION wait_timeout = {IDLE_SECONDS}")
    ids = client.use()
    Admin(url).wait_for_end(ids)
    return {"killed": len(ids), "replaced": len(ids - client.use()), **_served(directory, client)}


def inactive(directory: str, url: str) -> dict[str, Any]:
    """Fail with MySQL's own code for idleness."""
    client = Client(url, pre_ping=False, cursorclass=InactiveCursor)
    client.use()
    client.use("SELECT 'inactive'")
    return {"killed": SIZE, **_served(directory, client)}


def outage(directory: str, attempts: int) -> dict[str, Any]:
    """Stop the server, go on asking, and start it again."""
    with MariaDB() as server:
        client = Client(server.url(), pre_ping=True)
        client.use()
        server.stop()
        client.use_one_after_another(attempts)
        down = _served(directory, client)
        server.start()
        client.errors.clear()
        client.use()
        return {"down": down, "up": _served(directory, client)}


def _served(directory: str, client: Client) -> dict[str, Any]:
    page = Page.read(Path(directory))
    stale = "sqlalchemy_pool_stale_connections_total"
    pool: Any = client.engine.pool
    return {
        "errors": dict(client.errors),
        "by_statement": page.by(stale, "code", detected_by="statement"),
        "detected_by": page.by(stale, "detected_by"),
        "retries": page.by("sqlalchemy_pool_stale_connection_retries_total", "outcome"),
        "connect_errors": page.by("sqlalchemy_pool_connect_errors_total", "code"),
        "opened": [page.total("sqlalchemy_pool_connections_opened_total"), client.opened],
        "levels": [page.total("sqlalchemy_pool_connections", state=state) for state in ("idle", "used")],
        "pool_levels": [pool.checkedin(), pool.checkedout()],
    }


def main(directory: str, part: str, **arguments: Any) -> dict[str, Any]:
    """Run one part with the probe installed."""
    assert ullage.install({"ULLAGE_DIR": directory, "ULLAGE_ROLE": "web"})
    parts: dict[str, Callable[..., dict[str, Any]]] = {
        "kills": kills,
        "idle": idle,
        "inactive": inactive,
        "outage": outage,
    }
    return parts[part](directory, **arguments)


if __name__ == "__main__":
    run(main)
