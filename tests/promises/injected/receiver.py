"""A loopback server in place of Sentry's and Datadog's: it keeps what agents send."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Receiver:
    """What was sent."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.paths: set[str] = set()
        # Of Sentry: the items of envelopes, each with its type.
        self.items: list[tuple[str, dict[str, Any]]] = []

    @property
    def sentry_dsn(self) -> str:
        """Where Sentry's SDK sends to."""
        return f"http://public@127.0.0.1:{self.port}/1"

    def of_type(self, kind: str) -> list[dict[str, Any]]:
        """Return the items of one type."""
        return [item for found, item in self.items if found == kind]

    def take(self, path: str, headers: dict[str, str], body: bytes) -> None:
        """Keep one request."""
        self.paths.add(path)
        if path.endswith("/envelope/"):
            lines = (gzip.decompress(body) if headers.get("Content-Encoding") == "gzip" else body).splitlines()
            for header, item in zip(lines[1::2], lines[2::2], strict=True):
                self.items.append((json.loads(header)["type"], json.loads(item)))


@contextmanager
def receiving() -> Iterator[Receiver]:
    """Receive until the end of the `with` block."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            receiver.take(self.path, dict(self.headers), body)
            self.answer(b"{}")

        def do_GET(self) -> None:
            receiver.paths.add(self.path)
            self.answer(b"{}")

        do_PUT = do_POST  # noqa: N815 - the name that http.server calls

        def answer(self, body: bytes) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_arguments: object) -> None:
            """Print nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        receiver = Receiver(server.server_address[1])
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield receiver
        finally:
            server.shutdown()
            thread.join()
