"""A PostgreSQL server of one's own."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any, ClassVar

import psycopg

from tests.servers.process import Server, find_program, wait_for

PACKAGE = "postgresql"
OPTIONS: dict[str, str | int] = {
    "dynamic_shared_memory_type": "mmap",  # in its directory: a killed server leaves nothing behind
    "fsync": "off",
    "full_page_writes": "off",
    "listen_addresses": "127.0.0.1",
    "max_connections": 200,
    "shared_buffers": "32MB",
    "synchronous_commit": "off",
}


def _program(name: str) -> str:
    # Debian keeps the server's programs off PATH, by major version; the newest wins.
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: float(path.parent.name), reverse=True)
    return find_program(name, PACKAGE, also_in=versions)


class Postgres(Server):
    """`postgres` with a database `test` and an application's account that may do everything."""

    name = "postgres"
    account = "postgres"
    # "Fast": it ends the clients' connections rather than waiting for the clients to leave.
    stop_signal = signal.SIGINT
    application_user: ClassVar[str] = "shop"
    application_password: ClassVar[str] = "shop-password"

    def command(self) -> list[str]:
        """Return the program and its arguments."""
        options = {**OPTIONS, "port": self.port, "unix_socket_directories": self.directory}
        arguments = [argument for key, value in options.items() for argument in ("-c", f"{key}={value}")]
        return [_program("postgres"), "-D", str(self.directory / "data"), *arguments]

    def prepare(self) -> None:
        """Make the cluster."""
        self.run(
            [
                _program("initdb"),
                *("-D", str(self.directory / "data")),
                *("-U", "postgres"),
                "--auth-local=trust",
                "--auth-host=scram-sha-256",
                "--encoding=UTF8",
                "--locale=C.UTF-8",
                "--no-sync",
            ]
        )

    def populate(self) -> None:
        """Make the database and the application's account."""
        self.execute(f"CREATE ROLE {self.application_user} LOGIN SUPERUSER PASSWORD '{self.application_password}'")
        self.execute(f"CREATE DATABASE test OWNER {self.application_user}")

    def is_ready(self) -> bool:
        """Say whether the server answers."""
        try:
            self.execute("SELECT 1")
        except psycopg.OperationalError:
            return False
        return True

    def url(self, database: str = "test") -> str:
        """Return the application's SQLAlchemy URL."""
        credentials = f"{self.application_user}:{self.application_password}"
        return f"postgresql+psycopg://{credentials}@127.0.0.1:{self.port}/{database}"

    def execute(self, sql: str, *args: Any) -> list[tuple[Any, ...]]:
        """Run one statement as the administrator, and return its rows."""
        with psycopg.connect(
            host=str(self.directory), port=self.port, user="postgres", dbname="postgres", autocommit=True
        ) as connection:
            cursor = connection.execute(sql, args or None)
            return cursor.fetchall() if cursor.description else []

    def connection_ids(self, user: str | None = None) -> list[int]:
        """Return the process ids of the connections of an account: the application's unless given."""
        rows = self.execute(
            "SELECT pid FROM pg_stat_activity WHERE usename = %s ORDER BY pid", user or self.application_user
        )
        return [row[0] for row in rows]

    def kill_connections(self, user: str | None = None) -> int:
        """Terminate an account's connections, wait until they are gone, and return their number."""
        killed = {
            pid for pid in self.connection_ids(user) if self.execute("SELECT pg_terminate_backend(%s)", pid)[0][0]
        }
        wait_for(
            lambda: killed.isdisjoint(self.connection_ids(user)),
            what=f"the end of {len(killed)} terminated connections",
        )
        return len(killed)
