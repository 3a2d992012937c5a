"""The shop on Gunicorn behind `ullage.wsgi:app`, the sidecar beside it, and a client that counts its answers."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from prometheus_client.core import Metric as Family
from prometheus_client.parser import text_string_to_metric_families

from tests.promises.readings import Watch
from tests.promises.shop import read_account
from tests.servers import ServerError, end_process, free_port, owned_command, wait_for

ROOT = Path(__file__).parents[2]
START_SECONDS = 60.0
STOP_SECONDS = 20.0
ANSWER_SECONDS = 60.0
CLIENTS = 8


class _Program:
    """A Python program with its log, ended at the end of the `with` block."""

    def __init__(self, directory: Path, arguments: list[str], environ: dict[str, str]) -> None:
        self.port = free_port()
        self.log_path = directory / f"{arguments[1]}.log"
        self._arguments = [argument.replace("PORT", str(self.port)) for argument in arguments]
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("ULLAGE_", "GUNICORN_"))}
        self._environ = inherited | environ
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Any:
        with self.log_path.open("wb") as log:
            self.process = subprocess.Popen(
                owned_command([sys.executable, *self._arguments]),
                cwd=ROOT,
                env=self._environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        try:
            wait_for(self._answers, START_SECONDS, self._arguments[1])
        except BaseException as error:
            end_process(self.process, signal.SIGKILL, STOP_SECONDS)
            raise ServerError(f"{error}:\n{self.log}") from error
        return self

    def __exit__(self, *exc_info: object) -> None:
        assert self.process
        end_process(self.process, signal.SIGTERM, STOP_SECONDS)

    @property
    def log(self) -> str:
        """What the program printed."""
        return self.log_path.read_text(errors="replace")

    def _answers(self) -> bool:
        assert self.process
        if self.process.poll() is not None:
            raise ServerError(f"{self._arguments[1]} ended with status {self.process.returncode}:\n{self.log}")
        return get(self.port, "/healthz") is not None


class Web(_Program):
    """The shop on Gunicorn."""

    def __init__(self, directory: Path, segments: Path, database_url: str, workers: int, threads: int) -> None:
        self.account = directory / "account"
        self.account.mkdir()
        environ = {
            "ACCOUNT_DIR": str(self.account),
            "DATABASE_URL": database_url,
            "ULLAGE_APP": "tests.promises.shop:create_app()",
            "ULLAGE_DIR": str(segments),
            "ULLAGE_ROLE": "web",
        }
        arguments = [
            *("-m", "gunicorn", "ullage.wsgi:app", "--config", "python:tests.promises.shop"),
            *("--bind", "127.0.0.1:PORT", "--no-control-socket", "--worker-tmp-dir", "/dev/shm"),
            *("--worker-class", "gthread", "--workers", str(workers), "--threads", str(threads)),
        ]
        super().__init__(directory, arguments, environ)
        self._workers = workers

    def workers(self) -> list[int]:
        """Return the process ids of the workers that live now."""
        assert self.process
        pid = self.process.pid
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    def reload(self) -> None:
        """Let Gunicorn start new workers and end the old ones when they have answered; wait for it."""
        assert self.process
        before = set(self.workers())
        self.process.send_signal(signal.SIGHUP)
        self._wait_for_others(before)

    def replace_killed(self) -> None:
        """Kill all workers and wait for those that Gunicorn starts in their place."""
        before = set(self.workers())
        for pid in before:
            os.kill(pid, signal.SIGKILL)
        self._wait_for_others(before)

    def _wait_for_others(self, before: set[int]) -> None:
        wait_for(
            lambda: before.isdisjoint(self.workers()) and len(self.workers()) == self._workers,
            START_SECONDS,
            "new workers",
        )

    def settle(self) -> list[int]:
        """Wait until no living worker is at a request, and return what all workers did: see `shop`."""
        seen: list[list[int]] = [[]]

        def is_still() -> bool:
            seen.append(read_account(self.account))
            return seen[-1] == seen[-2]

        wait_for(is_still, interval=0.2, what="the end of the last requests")
        return seen[-1]


class Sidecar(_Program):
    """`ullage serve`, with a thread that scrapes it ten times a second and watches every counter."""

    PERIOD_SECONDS = 0.1

    def __init__(self, directory: Path, segments: Path) -> None:
        super().__init__(
            directory,
            ["-m", "ullage", "serve", "--dir", str(segments), "--listen-address", "127.0.0.1", "--port", "PORT"],
            {},
        )
        self.watch = Watch()
        self.failed = 0

    @contextmanager
    def watched(self) -> Iterator[Watch]:
        """Scrape until the end of the `with` block."""
        is_over = threading.Event()

        def scrape() -> None:
            while not is_over.wait(self.PERIOD_SECONDS):
                try:
                    self.watch.see(self.scrape())
                except OSError:
                    self.failed += 1

        scraper = threading.Thread(target=scrape)
        scraper.start()
        try:
            yield self.watch
        finally:
            is_over.set()
            scraper.join()

    def scrape(self) -> list[Family]:
        """Return the metric families of one scrape."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=ANSWER_SECONDS) as response:
            return list(text_string_to_metric_families(response.read().decode()))


def get(port: int, path: str) -> int | None:
    """Ask once, on a connection of its own, and return the status; None when there was no whole answer."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=ANSWER_SECONDS) as client:
            client.sendall(f"GET {path} HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n".encode())
            answer = b""
            while part := client.recv(65536):
                answer += part
    except ConnectionError:
        return None
    head, separator, body = answer.partition(b"\r\n\r\n")
    return int(head.split(b" ", 2)[1]) if separator and body else None


def ask(port: int, path: str, requests: int, on_answer: Callable[[], None] = lambda: None) -> Counter[int | None]:
    """Send so many requests from a few clients at once, none twice, and count the statuses."""
    statuses: Counter[int | None] = Counter()
    numbers = iter(range(requests))
    lock = threading.Lock()

    def client() -> None:
        while True:
            with lock:
                if next(numbers, None) is None:
                    return
            status = get(port, path)
            with lock:
                statuses[status] += 1
            on_answer()

    clients = [threading.Thread(target=client) for _ in range(CLIENTS)]
    for each in clients:
        each.start()
    for each in clients:
        each.join()
    return statuses
