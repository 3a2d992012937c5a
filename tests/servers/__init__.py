"""Real servers for the tests and the demo, each on a free loopback port and in a directory of its own.

`with MariaDB() as server: ...` starts one and leaves nothing behind.
"""

from tests.servers.mariadb import MariaDB
from tests.servers.postgres import Postgres
from tests.servers.process import (
    MissingComponentError,
    Server,
    ServerError,
    end_process,
    find_program,
    free_port,
    is_free,
    owned_command,
    wait_for,
)
from tests.servers.prometheus import Prometheus
from tests.servers.redis import Redis

__all__ = [
    "MariaDB",
    "MissingComponentError",
    "Postgres",
    "Prometheus",
    "Redis",
    "Server",
    "ServerError",
    "end_process",
    "find_program",
    "free_port",
    "is_free",
    "owned_command",
    "wait_for",
]
