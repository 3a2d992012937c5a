"""One run of an application on real servers: requests, jobs and commands, each written down."""

from __future__ import annotations

import signal
import socket
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from redis import Redis as RedisClient

from tests.promises.injected.container import Container
from tests.promises.injected.transcript import Transcript
from tests.servers import MariaDB, Redis, ServerError, end_process, wait_for

START_SECONDS = 60
END_SECONDS = 120
PASSWORD = "throw-away"
# Of Redis, so that no other test's jobs are found.
DATABASE = 9


@dataclass(frozen=True)
class Services:
    """What the applications talk to. `port` is where they listen, the same in every run."""

    mariadb: MariaDB
    redis: Redis
    port: int

    def prepare(self, name: str) -> dict[str, str]:
        """Make an empty database with an account of its own, forget all jobs, and return the application's settings."""
        self.mariadb.execute("SET GLOBAL userstat = 1")
        self.mariadb.execute(f"DROP DATABASE IF EXISTS {name}")
        self.mariadb.execute(f"CREATE DATABASE {name}")
        self.mariadb.execute(f"CREATE OR REPLACE USER {name}@127.0.0.1 IDENTIFIED BY '{PASSWORD}'")
        self.mariadb.execute(f"GRANT ALL PRIVILEGES ON {name}.* TO {name}@127.0.0.1")
        url = self.redis.url.rpartition("/")[0] + f"/{DATABASE}"
        with RedisClient.from_url(url) as client:
            client.flushdb()
        database = f"mysql+pymysql://{name}:{PASSWORD}@127.0.0.1:{self.mariadb.port}/{name}"
        return {"DATABASE_URL": database, "REDIS_URL": url}

    def connections_of(self, name: str) -> int:
        """Return how many connections the server has ever accepted from an account."""
        rows = self.mariadb.execute(
            "SELECT total_connections FROM information_schema.user_statistics WHERE user = %s", name
        )
        return rows[0][0] if rows else 0


class Run:
    """What is done with the application, and what it said."""

    def __init__(self, container: Container, services: Services) -> None:
        self.container = container
        self.services = services
        self.transcript = Transcript(container.image.log)
        self.killed = 0
        self._account = f"shop_{container.image.name}"[:32]
        self._settings = services.prepare(self._account)
        self._settings["ARCHIVE_URL"] = f"sqlite:///{container.place}/archive.db"
        (container.place / "archive.db").unlink(missing_ok=True)
        self._before = services.connections_of(self._account)

    @property
    def connections(self) -> int:
        """How many connections the database has accepted from the application."""
        return self.services.connections_of(self._account) - self._before

    def command(self, *arguments: str, role: str = "setup") -> None:
        """Run a program to its end."""
        with self._started(arguments, role) as process:
            process.wait(END_SECONDS)

    @contextmanager
    def serving(self, *arguments: str, stop: int = signal.SIGTERM) -> Iterator[None]:
        """Run a server, from its first answer to the end of the `with` block."""
        with self._started(arguments, "web", stop) as process:
            self.transcript.add("GET /ping", wait_for(lambda: self._ping(process), START_SECONDS, "the first answer"))
            yield

    @contextmanager
    def working(self, *arguments: str) -> Iterator[None]:
        """Run a worker until the end of the `with` block."""
        with self._started(arguments, "worker", signal.SIGTERM):
            yield

    def get(self, path: str, *headers: str) -> None:
        """Ask for a page."""
        self.transcript.add(f"GET {path}", self._ask("GET", path, headers))

    def post(self, path: str, body: str = "{}") -> None:
        """Send JSON."""
        self.transcript.add(f"POST {path}", self._ask("POST", path, ("Content-Type: application/json",), body))

    def get_at_once(self, paths: Sequence[str]) -> None:
        """Ask for several pages at once."""
        answers: dict[str, str] = {}
        clients = [
            threading.Thread(target=lambda path=path: answers.update({path: self._ask("GET", path)})) for path in paths
        ]
        for client in clients:
            client.start()
        for client in clients:
            client.join()
        for path in paths:
            self.transcript.add(f"GET {path}", answers[path])

    def wait_for_job(self, name: str, worker: str) -> None:
        """Wait until a worker is done with a job, its own clean-up included."""
        done = [b"finished", b"idle"]
        with RedisClient.from_url(self._settings["REDIS_URL"]) as client:

            def state() -> list[bytes]:
                return [client.hget(f"rq:job:{name}", "status"), client.hget(f"rq:worker:{worker}", "state")]

            wait_for(lambda: state() == done, START_SECONDS, f"job {name}")

    def kill_connections(self) -> None:
        """End all of the application's connections, by the server."""
        self.killed += self.services.mariadb.kill_connections(self._account)

    @contextmanager
    def _started(self, arguments: Sequence[str], role: str, stop: int = 0) -> Iterator[subprocess.Popen[bytes]]:
        words = {"127.0.0.1:PORT": f"127.0.0.1:{self.services.port}", "PORT": str(self.services.port)}
        words["REDIS_URL"] = self._settings["REDIS_URL"]
        outputs = [self.container.place / f"{role}.{name}" for name in ("stdout", "stderr")]
        with outputs[0].open("wb") as stdout, outputs[1].open("wb") as stderr:
            process = subprocess.Popen(
                self.container.command([words.get(argument, argument) for argument in arguments]),
                cwd=self.container.code,
                env=self.container.environ(role, **self._settings),
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
            )
        try:
            yield process
        except BaseException as error:
            end_process(process, signal.SIGKILL, END_SECONDS)
            printed = "\n".join(path.read_text(errors="replace")[-4000:] for path in outputs)
            raise ServerError(f"{' '.join(arguments)}: {error}\n{self.transcript.show()}\n{printed}") from error
        status = end_process(process, stop, END_SECONDS) if stop else process.returncode
        self._record(arguments[0], status, *outputs)

    def _record(self, program: str, status: int, stdout: Path, stderr: Path) -> None:
        self.transcript.add(f"{program} exit status", str(status))
        self.transcript.add(f"{program} stdout", stdout.read_text(errors="surrogateescape"))
        self.transcript.add(f"{program} stderr", stderr.read_text(errors="surrogateescape"))

    def _ping(self, process: subprocess.Popen[bytes]) -> str:
        if process.poll() is not None:
            raise ServerError(f"ended with status {process.returncode} at its start")
        try:
            return self._ask("GET", "/ping")
        except ConnectionError:
            return ""

    def _ask(self, method: str, path: str, headers: Sequence[str] = (), body: str = "") -> str:
        lines = [f"{method} {path} HTTP/1.1", "Host: shop.example", "Connection: close", *headers]
        lines += [f"Content-Length: {len(body)}"] if body else []
        with socket.create_connection(("127.0.0.1", self.services.port), timeout=START_SECONDS) as client:
            client.sendall("\r\n".join([*lines, "", body]).encode())
            parts = iter(lambda: client.recv(65536), b"")
            return b"".join(parts).decode("latin-1")
