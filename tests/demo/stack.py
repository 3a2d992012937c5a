"""The processes of the demo: each started with its log in the demo's directory, and ended with the demo."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from redis import Redis as RedisClient

from tests.servers import ServerError, end_process, free_port, is_free, owned_command, wait_for
from tests.servers.process import LOG_TAIL_LINES

WEB_PORT = 8000
METRICS_PORT = 9145
# What is asked until the application is up; its requests are not part of the traffic.
READY_PATH = "/readyz"
START_SECONDS = 30.0
STOP_SECONDS = 10.0
# What a developer has set for another purpose must not change the demo.
FOREIGN_PREFIXES = ("ULLAGE_", "APP_", "DB_", "RQ_")
FOREIGN_NAMES = frozenset({"DATABASE_URL", "REDIS_URL", "GUNICORN_CMD_ARGS", "WEB_CONCURRENCY"})


def preferred_port(port: int) -> int:
    """Return the port if nobody listens there, else a free one."""
    return port if is_free(port) else free_port()


def make_directory() -> Path:
    """Make the demo's directory, in memory where that is possible: that is where segments live in a pod."""
    memory = Path("/dev/shm")
    in_memory = memory.is_dir() and os.access(memory, os.W_OK)
    return Path(tempfile.mkdtemp(prefix="ullage-demo-", dir=memory if in_memory else None))


@dataclass
class Stack:
    """Web, worker and sidecar around one database, one Redis and one segment directory."""

    directory: Path
    redis_url: str
    database_url: str
    web_port: int = field(default_factory=lambda: preferred_port(WEB_PORT))
    metrics_port: int = field(
        default_factory=lambda: int(os.environ.get("ULLAGE_PORT") or preferred_port(METRICS_PORT))
    )
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def web_url(self) -> str:
        """Where the application answers."""
        return f"http://127.0.0.1:{self.web_port}"

    @property
    def metrics_url(self) -> str:
        """Where the sidecar answers."""
        return f"http://127.0.0.1:{self.metrics_port}"

    @property
    def segments(self) -> Path:
        """The directory that the application and the sidecar share."""
        return self.directory / "segments"

    def migrate(self) -> None:
        """Bring the database to the newest schema."""
        result = subprocess.run(
            [sys.executable, "-m", "app.migrate"],
            env=self._environment("migrate"),
            cwd=self.directory,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
        if result.returncode != 0:
            raise ServerError(f"app.migrate ended with status {result.returncode}:\n{result.stdout.decode()}")

    def start(self, owner: ExitStack) -> None:
        """Start the three processes and wait until they answer."""
        self._start(owner, "web", self._web_command())
        self._start(owner, "worker", ["-m", "app.worker", "default"])
        self._start(owner, "sidecar", ["-m", "ullage", "serve"])
        with RedisClient.from_url(self.redis_url) as client:
            self._wait("web", lambda: _answers(self.web_url + READY_PATH))
            self._wait("worker", lambda: client.scard("rq:workers") > 0)
            self._wait("sidecar", lambda: _answers(f"{self.metrics_url}/healthz"))

    def check_alive(self) -> None:
        """Raise ServerError with the log's tail if a process has ended."""
        for name, process in self.running.items():
            if process.poll() is not None:
                raise ServerError(f"{name} ended with status {process.returncode}:\n{self._log_tail(name)}")

    def logs(self) -> str:
        """Return the end of every process's log."""
        return "\n".join(f"--- {name}\n{self._log_tail(name)}" for name in self.running)

    def _web_command(self) -> list[str]:
        return [
            *("-m", "gunicorn", "ullage.wsgi:app"),
            *("--bind", f"127.0.0.1:{self.web_port}"),
            *("--worker-class", "gthread", "--workers", "2", "--threads", "4"),
            *("--worker-tmp-dir", str(self.directory)),
            "--no-control-socket",
        ]

    def _environment(self, role: str) -> dict[str, str]:
        inherited = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(FOREIGN_PREFIXES) and name not in FOREIGN_NAMES
        }
        return inherited | {
            "DATABASE_URL": self.database_url,
            "REDIS_URL": self.redis_url,
            "ULLAGE_APP": "app.web:create_app()",
            "ULLAGE_CONTAINER": role,
            "ULLAGE_DIR": str(self.segments),
            "ULLAGE_LISTEN_ADDRESS": "127.0.0.1",
            "ULLAGE_PORT": str(self.metrics_port),
            "ULLAGE_ROLE": role,
        }

    def _start(self, owner: ExitStack, name: str, arguments: list[str]) -> None:
        self.segments.mkdir(exist_ok=True)
        with self._log_path(name).open("wb") as log:
            process = subprocess.Popen(
                owned_command([sys.executable, *arguments]),
                env=self._environment(name),
                cwd=self.directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is for the demo, which ends them in order
            )
        self.running[name] = process
        owner.callback(end_process, process, signal.SIGTERM, STOP_SECONDS)

    def _wait(self, name: str, is_ready: Callable[[], bool]) -> None:
        def is_ready_or_ended() -> bool:
            self.check_alive()
            return is_ready()

        try:
            wait_for(is_ready_or_ended, START_SECONDS, what=f"an answer of the {name}")
        except TimeoutError as error:
            raise ServerError(f"{error}:\n{self._log_tail(name)}") from None

    def _log_path(self, name: str) -> Path:
        return self.directory / f"{name}.log"

    def _log_tail(self, name: str) -> str:
        return "\n".join(self._log_path(name).read_text(errors="replace").splitlines()[-LOG_TAIL_LINES:])


def remove_directory(directory: Path) -> None:
    """Remove the demo's directory, whatever is still in it."""
    shutil.rmtree(directory, ignore_errors=True)


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, trust_env=False).is_success
    except httpx.TransportError:
        return False
