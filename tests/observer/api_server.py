"""As much of the Kubernetes API as the observer uses, over TLS: pods in pages, and Events that keep their state."""

from __future__ import annotations

import json
import ssl
import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.certificates import Authority

Body = dict[str, Any]


@dataclass(frozen=True)
class Request:
    """What the server was asked."""

    method: str
    path: str
    query: dict[str, str]
    authorization: str
    content_type: str
    body: Body


def pod(name: str, address: str = "127.0.0.1", port: int = 9145, is_sidecar: bool = True) -> Body:
    """Return a pod whose sidecar, an init container that restarts, declares a port."""
    sidecar = {"name": "ullage", "ports": [{"name": "metrics", "containerPort": port}]}
    return {
        "metadata": {"name": name, "uid": f"uid-of-{name}"},
        "spec": {"containers": [{"name": "app"}], "initContainers": [sidecar] if is_sidecar else []},
        "status": {"phase": "Running", "podIP": address},
    }


class ApiServer:
    """A server on a free loopback port; `refusal` is a status and a message that everything is answered with."""

    def __init__(self, authority: Authority) -> None:
        self.pods: list[Body] = []
        self.page_size = 100
        self.events: dict[str, Body] = {}
        self.requests: list[Request] = []
        self.refusal: tuple[int, str] | None = None
        self.is_read_only = False
        certificate, key = authority.issue("kubernetes")
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self._server.daemon_threads = True
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self._server.api = self  # type: ignore[attr-defined]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    @property
    def environ(self) -> dict[str, str]:
        """What a kubelet puts into the environment."""
        host, port = self._server.server_address[:2]
        return {"KUBERNETES_SERVICE_HOST": str(host), "KUBERNETES_SERVICE_PORT": str(port)}

    def __enter__(self) -> ApiServer:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def answer(self, asked: Request) -> tuple[int, Body]:
        """Return a status and a body."""
        self.requests.append(asked)
        parts = asked.path.strip("/").split("/")
        if self.refusal:
            return _status(*self.refusal)
        if parts[4:] == ["pods"]:
            return self._list(asked.query)
        if self.is_read_only:
            return _status(403, "events is forbidden")
        name = parts[5] if len(parts) > 5 else asked.body["metadata"]["name"]
        if asked.method == "PATCH":
            if name not in self.events:
                return _status(404, f'events "{name}" not found')
            _merge(self.events[name], asked.body)
            return 200, self.events[name]
        if name in self.events:
            return _status(409, f'events "{name}" already exists')
        self.events[name] = asked.body
        return 201, asked.body

    def encode(self, body: Body) -> bytes:
        """Return a body as bytes."""
        return json.dumps(body).encode()

    def _list(self, query: dict[str, str]) -> tuple[int, Body]:
        first = int(query.get("continue", "0"))
        last = first + self.page_size
        more = {"continue": str(last)} if last < len(self.pods) else {}
        return 200, {"kind": "PodList", "metadata": more, "items": self.pods[first:last]}


def _status(code: int, message: str) -> tuple[int, Body]:
    return code, {"kind": "Status", "status": "Failure", "message": message, "code": code}


def _merge(target: Body, change: Body) -> None:
    for key, value in change.items():
        if isinstance(value, dict) and isinstance(target.get(key), dict):
            _merge(target[key], value)
        else:
            target[key] = value


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Headers and body in one packet: the second would wait for the acknowledgement of the first.
    wbufsize = -1

    def _answer(self) -> None:
        url = urlsplit(self.path)
        text = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        asked = Request(
            self.command,
            url.path,
            {name: values[0] for name, values in parse_qs(url.query).items()},
            self.headers.get("Authorization", ""),
            self.headers.get("Content-Type", ""),
            json.loads(text) if text else {},
        )
        code, body = self.server.api.answer(asked)  # type: ignore[attr-defined]
        content = self.server.api.encode(body)  # type: ignore[attr-defined]
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PATCH = _answer  # noqa: N815 - the base class's naming

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""
