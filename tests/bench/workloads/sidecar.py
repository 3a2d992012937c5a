"""The sidecar as it runs in a pod: its start, its memory, and what a scrape takes through HTTP."""

from __future__ import annotations

import http.client
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from statistics import median
from typing import Any

from tests.bench.child import environment, run
from tests.bench.workloads.fleet import fleet
from tests.servers import end_process, free_port, owned_command

START_SECONDS = 30.0
STOP_SECONDS = 10.0


def main(segments: Path, databases: Path, peer: Path, count: int, starts: int, scrapes: int) -> dict[str, Any]:
    """Return milliseconds from start to first scrape and from scrape to scrape, and bytes of resident memory."""
    found: dict[str, list[float]] = {"start": [], "resident": [], "scrape": []}
    with fleet(segments, databases, count):
        for _ in range(starts):
            with _Sidecar(segments).running() as sidecar:
                found["start"].append(sidecar.start_ms)
                found["scrape"].append(median(sidecar.scrape_ms() for _ in range(scrapes)))
                found["resident"].append(sidecar.resident_bytes())
    return found


class _Sidecar:
    """`ullage serve`, in a process of its own."""

    def __init__(self, segments: Path) -> None:
        self._port = free_port()
        options = ["--dir", str(segments), "--listen-address", "127.0.0.1", "--port", str(self._port)]
        self._command = owned_command([sys.executable, "-m", "ullage", "serve", *options, "--log-level", "error"])
        self.start_ms = 0.0

    @contextmanager
    def running(self) -> Iterator[_Sidecar]:
        """Run it until its first answer, and then as long as wanted."""
        started = time.perf_counter()
        process = subprocess.Popen(self._command, env=environment(), stdin=subprocess.DEVNULL)
        self._pid = process.pid
        try:
            while not self._answers():
                if process.poll() is not None or time.perf_counter() - started > START_SECONDS:
                    raise RuntimeError(f"the sidecar does not answer; its exit status is {process.poll()}")
            self.start_ms = (time.perf_counter() - started) * 1e3
            yield self
        finally:
            end_process(process, 15, STOP_SECONDS)

    def scrape_ms(self) -> float:
        """Scrape, on a connection of its own as after a restart of Prometheus."""
        started = time.perf_counter()
        self._scrape()
        return (time.perf_counter() - started) * 1e3

    def resident_bytes(self) -> int:
        """Return the resident memory, libraries included."""
        status = Path(f"/proc/{self._pid}/status").read_text()
        return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmRSS:"))

    def _answers(self) -> bool:
        with suppress(ConnectionRefusedError):
            self._scrape()
            return True
        time.sleep(0.001)
        return False

    def _scrape(self) -> bytes:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=START_SECONDS)
        try:
            connection.request("GET", "/metrics", headers={"Accept-Encoding": "gzip"})
            response = connection.getresponse()
            if response.status != 200:
                raise RuntimeError(f"the sidecar answered {response.status}")
            return response.read()
        finally:
            connection.close()


if __name__ == "__main__":
    run(main)
