"""What a sidecar says, asked over HTTP."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.test_server import FixedSource, running
from ullage.observer import pods
from ullage.observer.pods import Leak, SidecarError, read_leaks
from ullage.pages import Page, Pages, Site
from ullage.server import OpenAccess, Server

LEAK = {
    "time": 5.0,
    "kind": "held_at_job_end",
    "function": "app.tasks.report",
    "site": "app/db.py:9 load",
    "queue": "q",
}


@contextmanager
def sidecar(body: bytes, status: int = 200) -> Iterator[int]:
    """Run a server whose /leaks has this body, and give its port."""
    site = Site(FixedSource(), "", {"/": lambda _: Page(200, "", b""), "/leaks": lambda _: Page(status, "", body)})
    server = Server("127.0.0.1", 0, site, OpenAccess())
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.stop()
        thread.join()


def read(*leaks: object, now: float = 10.0) -> list[Leak]:
    """Return what is read of these leaks."""
    with sidecar(json.dumps({"leaks": leaks}).encode()) as port:
        return read_leaks("127.0.0.1", port, now)


class TestLeaks:
    def test_a_leak(self) -> None:
        """Time, kind, function, line and queue are read."""
        assert read(LEAK) == [Leak(5.0, "held_at_job_end", "app.tasks.report", "app/db.py:9 load", "q")]

    def test_real_sidecar(self) -> None:
        """A real sidecar's page is read."""
        with running(FixedSource()) as server:
            assert isinstance(server.pages, Pages)
            [leak] = read_leaks("127.0.0.1", server.server_address[1], 10.0)
        assert (leak.at, leak.kind, leak.function, leak.site) == (1.5, "held_at_job_end", "app.tasks.report", "")

    def test_dead_process(self) -> None:
        """A leak without a time is that of a dead process."""
        assert read(LEAK | {"time": None, "kind": "died_with_process"})[0].at is None

    @pytest.mark.parametrize(
        "change",
        [
            {"time": 71.0},
            {"time": -1.0},
            {"time": 1e300},
            {"time": "5"},
            {"time": True},
            {"kind": "severity"},
            {"kind": ["held_at_job_end"]},
        ],
        ids=str,
    )
    def test_impossible_leak(self, change: dict[str, object]) -> None:
        """A time that cannot be, or an unknown kind, costs that leak and no other."""
        assert len(read(LEAK | change, "no leak", LEAK)) == 1

    def test_hostile_text(self) -> None:
        """Control characters and texts without end come to no Event."""
        [leak] = read(LEAK | {"function": "a\x1b[31m\n", "site": "s" * 9999, "queue": None})
        assert (leak.function, len(leak.site), leak.queue) == ("a?[31m?", pods.MOST_TEXT, "")


class TestTrouble:
    @pytest.mark.parametrize("body", [b"", b"[]", b'{"leaks": {}}', b"[" * 100_000, b"\xff"], ids=range(5))
    def test_something_else(self, body: bytes) -> None:
        """A page that is not ullage's is one error that says where it is from."""
        with sidecar(body) as port, pytest.raises(SidecarError, match=f"^127.0.0.1 port {port}: /leaks is not what"):
            read_leaks("127.0.0.1", port)

    def test_status(self) -> None:
        """A refusal is an error with its status."""
        with sidecar(b"", 401) as port, pytest.raises(SidecarError, match="/leaks answers 401 Unauthorized"):
            read_leaks("127.0.0.1", port)

    def test_too_much(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A page without end is not read to its end."""
        monkeypatch.setattr(pods, "MOST_BYTES", 100)
        with sidecar(b" " * 101) as port, pytest.raises(SidecarError, match="more than 100 bytes"):
            read_leaks("127.0.0.1", port)

    def test_silence(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A sidecar that accepts and says nothing is given up."""
        monkeypatch.setattr(pods, "TIMEOUT_SECONDS", 0.05)
        with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(SidecarError, match="TimeoutError"):
            read_leaks("127.0.0.1", silent.getsockname()[1])

    def test_nobody(self, tmp_path: Path) -> None:
        """A pod that refuses the connection is an error."""
        with socket.create_server(("127.0.0.1", 0)) as gone:
            port = gone.getsockname()[1]
        with pytest.raises(SidecarError, match="ConnectionRefusedError"):
            read_leaks("127.0.0.1", port)
