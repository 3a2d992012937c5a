"""The HTTP server of sidecar and observer: connections, access and limits; what it answers is in pages.py."""

from __future__ import annotations

import errno
import logging
import signal
import socket
import socketserver
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from types import MappingProxyType
from typing import Any, Protocol

from ullage import __version__
from ullage.pages import TEXT, Page, Site

log = logging.getLogger(__name__)

_NEXT_STEPS = {
    errno.EADDRINUSE: "stop what listens there (`ss -ltnp` names it), or set another --port or ULLAGE_PORT",
    errno.EACCES: "set a --port or ULLAGE_PORT above 1023",
    errno.EADDRNOTAVAIL: "set --listen-address or ULLAGE_LISTEN_ADDRESS to an address of this host",
}


class ListenError(Exception):
    """The server cannot listen on its address and port."""


class Access(Protocol):
    """Who may connect, and how."""

    @property
    def scheme(self) -> str: ...
    @property
    def headers(self) -> Mapping[str, str]: ...
    def admits(self, authorization: str | None) -> bool: ...
    def secure(self, connection: socket.socket, timeout_seconds: float) -> socket.socket: ...


class OpenAccess:
    """Plain HTTP for everyone: what holds without a web configuration file."""

    scheme = "http"
    headers: Mapping[str, str] = MappingProxyType({})

    def admits(self, authorization: str | None) -> bool:  # noqa: ARG002 - everyone is let in
        """Let everyone in."""
        return True

    def secure(self, connection: socket.socket, timeout_seconds: float) -> socket.socket:  # noqa: ARG002
        """Return the connection as it is."""
        return connection


@dataclass(frozen=True)
class Limits:
    """How much of the server one client may take."""

    connections: int = 8
    request_seconds: float = 5.0
    response_seconds: float = 30.0
    stop_seconds: float = 0.5
    poll_seconds: float = 0.2


class _Exchange(BaseHTTPRequestHandler):
    """One request and its response. The connection closes then: an idle one would keep others waiting."""

    server: Server
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    error_content_type = TEXT
    error_message_format = "%(code)d %(message)s\n"

    def parse_request(self) -> bool:
        """Called after the request line is read; answer at once what is neither GET nor HEAD."""
        if not super().parse_request():
            return False
        if self.command in ("GET", "HEAD"):
            return True
        # An unread body would reset the connection before the client reads the response.
        length = self.headers.get("Content-Length", "")
        if length.isdecimal() and len(length) < 6:
            self.rfile.read(int(length))
        self._send(Page(405, TEXT, b"405 use GET or HEAD\n", {"Allow": "GET, HEAD"}))
        return False

    def do_GET(self) -> None:
        """Answer a GET or a HEAD."""
        self.server.expect_end(self.connection)
        path, _, query = self.path.partition("?")
        # Open, though exporter-toolkit closes it: a kubelet's probe has no password, and it tells nothing.
        if path != "/healthz" and not self.server.access.admits(self.headers.get("Authorization")):
            refusal = {"WWW-Authenticate": 'Basic realm="ullage"'}
            self._send(Page(401, TEXT, b"401 a user and a password are needed\n", refusal))
            return
        environ = {
            "REQUEST_METHOD": "GET",
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "HTTP_ACCEPT": self.headers.get("Accept", ""),
            "HTTP_ACCEPT_ENCODING": self.headers.get("Accept-Encoding", ""),
        }
        self._send(self.server.pages.answer(environ))

    do_HEAD = do_GET  # noqa: N815 - the base class's naming

    def _send(self, page: Page) -> None:
        self.send_response(page.status)
        headers = {
            "Content-Type": page.content_type,
            "Content-Length": str(len(page.body)),
            "Connection": "close",
            "X-Content-Type-Options": "nosniff",
            **page.headers,
        }
        for name, value in (headers | dict(self.server.access.headers)).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(page.body)

    def version_string(self) -> str:
        """Return the Server header, without Python's version."""
        return "ullage"

    def log_message(self, format: str, *args: Any) -> None:
        """Log a request at debug level: a sidecar is asked every few seconds."""
        log.debug("%s %r", self.client_address[0], format % args)


class Server(socketserver.TCPServer):
    """Serves a bounded number of connections at once, each for a bounded time."""

    allow_reuse_address = True
    request_queue_size = 64

    def __init__(self, address: str, port: int, pages: Site, access: Access, limits: Limits | None = None) -> None:
        self.pages = pages
        self.access = access
        self._limits = limits or Limits()
        self._slots = threading.BoundedSemaphore(self._limits.connections)
        self._is_stopping = threading.Event()
        # When each open connection is cut. Guarded by _lock, so that none is cut after it was closed.
        self._ends: dict[socket.socket, float] = {}
        self._lock = threading.Lock()
        try:
            found = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
            self.address_family = found[0][0]
            super().__init__(found[0][4], _Exchange)  # type: ignore[arg-type]
        except (OSError, UnicodeError) as error:
            step = _NEXT_STEPS.get(getattr(error, "errno", 0), "check --listen-address and --port")
            reason = getattr(error, "strerror", None) or error
            raise ListenError(f"cannot listen on {address} port {port}: {reason}; {step}") from None

    @property
    def url(self) -> str:
        """Return where the server listens."""
        host, port = self.server_address[:2]
        shown = f"[{host!s}]" if self.address_family == socket.AF_INET6 else host
        return f"{self.access.scheme}://{shown!s}:{port!s}/"

    def run(self) -> None:
        """Serve until stop() is called, then let running requests finish for a moment."""
        with self:
            self.serve_forever(self._limits.poll_seconds)
        end = time.monotonic() + self._limits.stop_seconds
        for _ in range(self._limits.connections):
            self._slots.acquire(timeout=max(0.0, end - time.monotonic()))

    def stop(self) -> None:
        """Make run() return; called from another thread."""
        self._is_stopping.set()
        self.shutdown()

    def server_bind(self) -> None:
        """Called before listening; an IPv6 socket takes IPv4 too."""
        if self.address_family == socket.AF_INET6 and socket.has_dualstack_ipv6():
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        super().server_bind()

    def process_request(self, request: Any, client_address: Any) -> None:
        """Called for each connection; wait for a slot, then answer in a thread of its own."""
        while not self._slots.acquire(timeout=self._limits.poll_seconds):
            if self._is_stopping.is_set():
                self.shutdown_request(request)
                return
            self.service_actions()
        try:
            threading.Thread(target=self._serve, args=(request, client_address), daemon=True).start()
        except RuntimeError:
            self._slots.release()
            raise

    def service_actions(self) -> None:
        """Called several times a second; cut the connections that are overdue."""
        now = time.monotonic()
        with self._lock:
            overdue = [connection for connection, end in self._ends.items() if end < now]
            for connection in overdue:
                # The base class's method: SSLSocket's own would turn the rest of the exchange into plain text.
                with suppress(OSError):
                    socket.socket.shutdown(connection, socket.SHUT_RDWR)

    def expect_end(self, connection: socket.socket) -> None:
        """Give a connection whose request has been read the time for its response."""
        with self._lock:
            self._ends[connection] = time.monotonic() + self._limits.response_seconds

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002 - the base class's
        """Called in an except clause; log one line."""
        log.error("connection from %s failed: %r", client_address[0], sys.exc_info()[1])

    def _serve(self, connection: socket.socket, client_address: Any) -> None:
        try:
            connection = self.access.secure(connection, self._limits.request_seconds)
            with self._lock:
                self._ends[connection] = time.monotonic() + self._limits.request_seconds
            self.finish_request(connection, client_address)
        except OSError as error:
            log.debug("connection from %s ended: %s", client_address[0], error)
        except Exception:  # noqa: BLE001 - one connection must not end the others
            self.handle_error(connection, client_address)
        finally:
            with self._lock:
                self._ends.pop(connection, None)
            self.shutdown_request(connection)
            self._slots.release()


def run_until_signal(server: Server, start: Callable[[], None] = lambda: None) -> None:
    """Serve until SIGTERM or SIGINT; `start` starts other threads. For the main thread: they inherit its mask."""
    signals = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)

    def stop_at_signal() -> None:
        log.info("stopping on %s", signal.Signals(signal.sigwait(signals)).name)
        server.stop()

    threading.Thread(target=stop_at_signal, daemon=True).start()
    log.info("ullage %s listens on %s and reads %s", __version__, server.url, server.pages.reads)
    start()
    server.run()
