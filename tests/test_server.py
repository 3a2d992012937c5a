"""The HTTP server, asked over loopback."""

from __future__ import annotations

import contextlib
import gzip
import logging
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily

from tests.conftest import WaitFor
from ullage.pages import Pages
from ullage.server import Access, Limits, ListenError, OpenAccess, Server

LEAK: dict[str, object] = {"time": 1.5, "kind": "held_at_job_end", "function": "app.tasks.report"}


@dataclass(frozen=True)
class FixedOverview:
    """An overview of three segments, one of them with a hostile role."""

    segments_live: int = 3
    segments_free: int = 14
    unreadable: dict[str, int] = field(default_factory=lambda: {"truncated": 2})
    probes: dict[str, dict[str, int]] = field(default_factory=lambda: {"web": {"pool": 3}, "<script>": {"pool": 1}})


class FixedSource:
    """A collector of one counter; `during` runs inside each scrape."""

    def __init__(self, during: Callable[[], object] = lambda: None, help_text: str = "Checkouts.") -> None:
        self.during = during
        self.help_text = help_text

    def collect(self) -> Iterator[Metric]:
        self.during()
        yield CounterMetricFamily("sqlalchemy_pool_checkouts", self.help_text, value=7)

    def leaks(self) -> list[dict[str, object]]:
        return [LEAK]

    def overview(self) -> FixedOverview:
        return FixedOverview()


@contextlib.contextmanager
def running(
    source: FixedSource | None = None,
    access: Access | None = None,
    limits: Limits | None = None,
    address: str = "127.0.0.1",
) -> Iterator[Server]:
    """Run a server on a free port in a thread."""
    pages = Pages(source or FixedSource(), Path("/run/ullage"))
    server = Server(address, 0, pages, access or OpenAccess(), limits)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        yield server
    finally:
        server.stop()
        thread.join()


def connect(server: Server) -> socket.socket:
    """Open a connection to the server."""
    return socket.create_connection(("127.0.0.1", server.server_address[1]), timeout=10)


@pytest.fixture
def server() -> Iterator[Server]:
    """Give a running server with one counter."""
    with running() as server:
        yield server


class TestMetrics:
    def test_text(self, server: Server) -> None:
        """Without an Accept header a scrape gets the classic text format."""
        response = httpx.get(f"{server.url}metrics", headers={"Accept": "*/*"})
        assert response.status_code == 200
        assert response.headers["Content-Type"].startswith("text/plain; version=")
        assert "sqlalchemy_pool_checkouts_total 7.0\n" in response.text

    def test_openmetrics(self, server: Server) -> None:
        """A scraper that accepts OpenMetrics gets it."""
        accept = "application/openmetrics-text;version=1.0.0,text/plain;q=0.5"
        response = httpx.get(f"{server.url}metrics", headers={"Accept": accept})
        assert response.headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0")
        assert response.text.endswith("# EOF\n")

    def test_gzip(self, server: Server) -> None:
        """A page is compressed for those that accept gzip, and only for them."""
        with httpx.stream("GET", f"{server.url}metrics", headers={"Accept-Encoding": "gzip"}) as response:
            packed = b"".join(response.iter_raw())
        assert response.headers["Content-Encoding"] == "gzip"
        assert b"sqlalchemy_pool_checkouts_total 7.0\n" in gzip.decompress(packed)
        plain = httpx.get(f"{server.url}metrics", headers={"Accept-Encoding": "identity"})
        assert "Content-Encoding" not in plain.headers

    def test_name_filter(self, server: Server) -> None:
        """`name[]` restricts the page to the named series."""
        response = httpx.get(f"{server.url}metrics", params={"name[]": "sqlalchemy_pool_checkouts_total"})
        series = [line for line in response.text.splitlines() if not line.startswith("#")]
        assert series == ["sqlalchemy_pool_checkouts_total 7.0"]

    def test_own_process(self, server: Server) -> None:
        """The sidecar's own memory is on the page."""
        assert "\nprocess_resident_memory_bytes " in httpx.get(f"{server.url}metrics").text

    def test_error_in_collector(self, caplog: pytest.LogCaptureFixture) -> None:
        """A failing collector costs its scrape a 500 and one line, and the next scrape is served."""
        errors: list[Exception] = [ZeroDivisionError("two\nlines")]

        def fail_once() -> None:
            if errors:
                raise errors.pop()

        with running(FixedSource(fail_once)) as server:
            assert httpx.get(f"{server.url}metrics").status_code == 500
            assert httpx.get(f"{server.url}metrics").status_code == 200
        [line] = [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]
        assert line.startswith(r"/metrics failed: ZeroDivisionError('two\nlines') at ")

    def test_concurrent_scrapes(self, wait_for: WaitFor) -> None:
        """Eight scrapes run at once; more wait for their turn and are served too."""
        lock, release = threading.Lock(), threading.Event()
        inside, most = 0, 0

        def hold() -> None:
            nonlocal inside, most
            with lock:
                inside += 1
                most = max(most, inside)
            release.wait(10)
            with lock:
                inside -= 1

        with running(FixedSource(hold)) as server, ThreadPoolExecutor(12) as clients:
            scrapes = [clients.submit(httpx.get, f"{server.url}metrics", timeout=10) for _ in range(12)]
            wait_for(lambda: inside == 8, 10, "eight scrapes in the collector")
            release.set()
            assert [scrape.result().status_code for scrape in scrapes] == [200] * 12
        assert most == 8


class TestPages:
    def test_healthz(self, server: Server) -> None:
        """`/healthz` says ok."""
        response = httpx.get(f"{server.url}healthz")
        assert (response.status_code, response.text) == (200, "ok\n")

    def test_leaks(self, server: Server) -> None:
        """`/leaks` gives the last leaks as JSON."""
        response = httpx.get(f"{server.url}leaks")
        assert response.headers["Content-Type"] == "application/json"
        assert response.json() == {"leaks": [LEAK]}

    def test_landing_page(self, server: Server) -> None:
        """The landing page counts segments and probes, leads to the other pages, and escapes what it was given."""
        text = httpx.get(server.url).text
        assert "<tr><th>live</th><td>3</td></tr><tr><th>free</th><td>14</td></tr>" in text
        assert "<tr><th>truncated</th><td>2</td></tr>" in text
        assert "<h3>web</h3><table><tr><th>pool</th><td>3</td></tr></table>" in text
        assert "<h3>&lt;script&gt;</h3>" in text
        assert "<code>/run/ullage</code>" in text
        assert all(f'href="{path}"' in text for path in ("/metrics", "/leaks", "/healthz"))

    def test_unknown_page(self, server: Server) -> None:
        """Another path is a 404 that names the pages there are."""
        response = httpx.get(f"{server.url}nothing")
        assert (response.status_code, response.text) == (
            404,
            "404 no such page; there are / /metrics /leaks /healthz\n",
        )

    @pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "BREW"])
    def test_other_methods(self, server: Server, method: str) -> None:
        """Whatever is neither GET nor HEAD is a 405 that says what is allowed."""
        response = httpx.request(method, f"{server.url}metrics", content=b"x" * 50_000)
        assert (response.status_code, response.headers["Allow"]) == (405, "GET, HEAD")

    @pytest.mark.parametrize("path", ["metrics", "leaks", "healthz", "", "nothing"])
    def test_head(self, server: Server, path: str) -> None:
        """HEAD answers as GET does, without a body."""
        head, get = httpx.head(f"{server.url}{path}"), httpx.get(f"{server.url}{path}")
        assert (head.status_code, head.headers["Content-Type"]) == (
            get.status_code,
            get.headers["Content-Type"],
        )
        assert (head.content, head.headers["Connection"]) == (b"", "close")

    def test_server_header(self, server: Server) -> None:
        """No response names Python or its version."""
        responses = [httpx.get(server.url), httpx.get(f"{server.url}nothing"), httpx.post(server.url)]
        assert {response.headers["Server"] for response in responses} == {"ullage"}


class TestBadClients:
    def test_garbage(self, server: Server, caplog: pytest.LogCaptureFixture) -> None:
        """Bytes that are no HTTP get a 400 and not a line on the log."""
        with connect(server) as client:
            client.sendall(b"\x16\x03\x01 garbage\x00 HTTP/9\r\n\r\n")
            assert client.recv(65536).startswith(b"400 ")
        assert httpx.get(f"{server.url}healthz").status_code == 200
        assert not [record for record in caplog.records if record.levelno > logging.DEBUG]

    def test_idle_clients(self) -> None:
        """Clients that connect and say nothing are cut, so that a scrape gets its turn."""
        limits = Limits(connections=2, request_seconds=0.2, poll_seconds=0.05)
        with running(limits=limits) as server, contextlib.ExitStack() as idle:
            for _ in range(4):
                idle.enter_context(connect(server))
            assert httpx.get(f"{server.url}metrics", timeout=10).status_code == 200

    def test_slow_request(self, wait_for: WaitFor) -> None:
        """A client that drips its request byte by byte is cut when its time is up."""
        limits = Limits(request_seconds=0.2, poll_seconds=0.05)
        with running(limits=limits) as server, connect(server) as client:

            def is_cut() -> bool:
                try:
                    client.sendall(b"G")
                except OSError:
                    return True
                return False

            wait_for(is_cut, 10, "the server to cut the connection")

    def test_slow_reader(self) -> None:
        """A client that does not read its page is cut when its time is up."""
        limits = Limits(connections=1, response_seconds=0.2, poll_seconds=0.05)
        big = FixedSource(help_text="x" * 20_000_000)
        with running(big, limits=limits) as server, connect(server) as client:
            client.sendall(b"GET /metrics HTTP/1.1\r\nHost: ullage\r\n\r\n")
            assert client.recv(12) == b"HTTP/1.1 200"
            assert httpx.get(f"{server.url}healthz", timeout=10).status_code == 200

    def test_vanished_client(self, server: Server, caplog: pytest.LogCaptureFixture) -> None:
        """A client that goes away before its answer costs nothing but its own connection."""
        with connect(server) as client:
            client.sendall(b"GET /metrics HTTP/1.1\r\nHost: ullage\r\n\r\n")
        assert httpx.get(f"{server.url}metrics").status_code == 200
        assert not [record for record in caplog.records if record.levelno > logging.DEBUG]


class TestListening:
    def test_port_in_use(self, server: Server) -> None:
        """A port that is taken is one line with address, port and the next step."""
        port = server.server_address[1]
        with pytest.raises(ListenError) as caught:
            Server("127.0.0.1", int(port), server.pages, OpenAccess())
        assert str(caught.value) == (
            f"cannot listen on 127.0.0.1 port {port!s}: Address already in use; stop what listens there "
            "(`ss -ltnp` names it), or set another --port or ULLAGE_PORT"
        )

    @pytest.mark.parametrize("address", ["no.such.host.invalid", "192.0.2.1", "a..b"])
    def test_impossible_address(self, server: Server, address: str) -> None:
        """An address that is not this host's, or none at all, is one line."""
        with pytest.raises(ListenError, match=rf"^cannot listen on {address} port 0: .*--listen-address"):
            Server(address, 0, server.pages, OpenAccess())

    @pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="this host has no IPv6; nothing installs it")
    def test_ipv6(self) -> None:
        """Listening on `::` takes IPv6 and IPv4."""
        with running(address="::") as server:
            port = server.server_address[1]
            assert server.url == f"http://[::]:{port!s}/"
            assert httpx.get(f"http://[::1]:{port!s}/healthz").text == "ok\n"
            assert httpx.get(f"http://127.0.0.1:{port!s}/healthz").text == "ok\n"


class TestStopping:
    def test_running_scrape_finishes(self, wait_for: WaitFor) -> None:
        """A scrape that runs when the server stops still gets its page."""
        entered, release = threading.Event(), threading.Event()

        def hold() -> None:
            entered.set()
            release.wait(10)

        with ThreadPoolExecutor(1) as client:
            with running(FixedSource(hold), limits=Limits(stop_seconds=10)) as server:
                scrape = client.submit(httpx.get, f"{server.url}metrics", timeout=10)
                assert entered.wait(10)
                server.stop()
                release.set()
            assert scrape.result().status_code == 200

    def test_stuck_scrape(self) -> None:
        """A scrape that hangs, with others waiting for its slot, does not keep the server from stopping."""
        entered, release = threading.Event(), threading.Event()

        def hang() -> None:
            entered.set()
            release.wait(60)

        limits = Limits(connections=1, poll_seconds=0.05, stop_seconds=0.1)
        pages = Pages(FixedSource(hang), Path("/run/ullage"))
        server = Server("127.0.0.1", 0, pages, OpenAccess(), limits)
        thread = threading.Thread(target=server.run)
        thread.start()
        with connect(server) as first, connect(server):
            first.sendall(b"GET /metrics HTTP/1.1\r\nHost: ullage\r\n\r\n")
            assert entered.wait(10)
            server.stop()
            thread.join(10)
            assert not thread.is_alive()
            release.set()
