"""A MariaDB server of one's own."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from typing import Any, ClassVar

import pymysql

from tests.servers.process import Server, find_program, wait_for

PACKAGE = "mariadb-server"
# A small server: tests need its behaviour, not its speed, and its files are thrown away.
OPTIONS: dict[str, str | int] = {
    "bind-address": "127.0.0.1",
    "character-set-server": "utf8mb4",
    "innodb-buffer-pool-size": "32M",
    "innodb-doublewrite": 0,
    "innodb-flush-log-at-trx-commit": 0,
    "innodb-log-file-size": "8M",
    "innodb-use-native-aio": 0,
    "max-connections": 1000,
    "performance-schema": "OFF",
    "skip-name-resolve": "ON",
    "thread-cache-size": 32,
}
NO_SUCH_THREAD = 1094


class MariaDB(Server):
    """`mariadbd` with a database `test` and an application's account that may do everything."""

    name = "mariadb"
    application_user: ClassVar[str] = "shop"
    application_password: ClassVar[str] = "shop-password"

    def __init__(self, options: Mapping[str, str | int] | None = None, *, general_log: bool = False) -> None:
        super().__init__()
        self.options = {**OPTIONS, **{key.replace("_", "-"): value for key, value in (options or {}).items()}}
        self.general_log = general_log

    def command(self) -> list[str]:
        """Return the program and its arguments."""
        files = {
            "datadir": self.directory / "data",
            "socket": self._socket,
            "pid-file": self.directory / "mariadbd.pid",
            "tmpdir": self.directory,
            "general-log-file": self.general_log_path,
            "general-log": int(self.general_log),
            "port": self.port,
        }
        arguments = [f"--{key}={value}" for key, value in {**self.options, **files}.items()]
        return [find_program("mariadbd", PACKAGE), "--no-defaults", *self._as_root(), *arguments]

    def prepare(self) -> None:
        """Make the system tables."""
        self.run(
            [
                find_program("mariadb-install-db", PACKAGE),
                "--no-defaults",
                *self._as_root(),
                f"--datadir={self.directory / 'data'}",
                f"--innodb-log-file-size={self.options['innodb-log-file-size']}",
                "--auth-root-authentication-method=normal",
                "--skip-name-resolve",
                "--skip-test-db",
            ]
        )

    def populate(self) -> None:
        """Make the database and the application's account."""
        account = (self.application_user, "127.0.0.1")
        self.execute("CREATE DATABASE test")
        self.execute("CREATE USER %s@%s IDENTIFIED BY %s", *account, self.application_password)
        self.execute("GRANT ALL PRIVILEGES ON *.* TO %s@%s", *account)

    def is_ready(self) -> bool:
        """Say whether the server answers."""
        # Asked without PyMySQL, which leaves its socket open when nobody listens (ResourceWarning).
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(1)
            try:
                client.connect(self._socket)
                return bool(client.recv(1))
            except OSError:
                return False

    def url(self, database: str = "test") -> str:
        """Return the application's SQLAlchemy URL."""
        credentials = f"{self.application_user}:{self.application_password}"
        return f"mysql+pymysql://{credentials}@127.0.0.1:{self.port}/{database}"

    def execute(self, sql: str, *args: Any) -> list[tuple[Any, ...]]:
        """Run one statement as the administrator, and return its rows."""
        connection = pymysql.connect(unix_socket=self._socket, user="root", autocommit=True)
        with connection, connection.cursor() as cursor:
            cursor.execute(sql, args or None)
            return list(cursor.fetchall())

    def connection_ids(self, user: str | None = None) -> list[int]:
        """Return the server's ids of the connections of an account: the application's unless given."""
        rows = self.execute(
            "SELECT id FROM information_schema.processlist WHERE user = %s ORDER BY id",
            user or self.application_user,
        )
        return [row[0] for row in rows]

    def kill_connections(self, user: str | None = None) -> int:
        """Kill an account's connections, wait until they are gone, and return their number."""
        killed = {connection_id for connection_id in self.connection_ids(user) if self._kill(connection_id)}
        wait_for(
            lambda: killed.isdisjoint(self.connection_ids(user)),
            what=f"the end of {len(killed)} killed connections",
        )
        return len(killed)

    @property
    def general_log_path(self) -> str:
        """Every statement that the server received, if `general_log` was asked for."""
        return str(self.directory / "general.log")

    @property
    def _socket(self) -> str:
        return str(self.directory / "s.sock")

    def _as_root(self) -> list[str]:
        return ["--user=root"] if os.geteuid() == 0 else []

    def _kill(self, connection_id: int) -> bool:
        try:
            self.execute(f"KILL CONNECTION {connection_id}")
        except pymysql.Error as error:
            if error.args[0] == NO_SUCH_THREAD:
                return False
            raise
        return True
