"""A proxy in a pod, which plays one hop in front of the Service: what it does with X-Forwarded-* is given to it."""

from __future__ import annotations

import json
from typing import Any

from tests.e2e.cluster import Namespace, image

PORT = 8080
# Standard library only, as the pod has nothing else to offer for certain.
PROGRAM = """
import http.client, http.server, json, sys
upstream, rules = sys.argv[1], json.loads(sys.argv[2])

class Hop(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        headers = {name.title(): value for name, value in self.headers.items()}
        for name, (way, value) in rules.items():
            value = value.replace("peer", self.client_address[0].removeprefix("::ffff:"))
            before = headers.pop(name, None)
            if way == "append" and before:
                value = f"{before}, {value}"
            if way != "remove":
                headers[name] = before if way == "keep" and before else value
        host, _, port = upstream.partition(":")
        connection = http.client.HTTPConnection(host, int(port or 80), timeout=20)
        connection.request("GET", self.path, headers=headers)
        answer = connection.getresponse()
        body = answer.read()
        self.send_response(answer.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

http.server.ThreadingHTTPServer(("", 8080), Hop).serve_forever()
"""
ASK = """
import json, sys, urllib.request
request = urllib.request.Request(sys.argv[1], headers=json.loads(sys.argv[2]))
print(urllib.request.urlopen(request, timeout=20).read().decode())
"""
SECURITY = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
    "runAsNonRoot": True,
    "seccompProfile": {"type": "RuntimeDefault"},
}

Rules = dict[str, tuple[str, str]]


def start_hop(namespace: Namespace, name: str, upstream: str, rules: Rules) -> str:
    """Start a hop in front of `upstream` (host:port) and return where it listens."""
    start_pod(namespace, name, ["python", "-c", PROGRAM, upstream, json.dumps(rules)])
    pod: dict[str, Any] = json.loads(namespace.kubectl("get", "pod", name, "--output", "json"))
    return f"{pod['status']['podIP']}:{PORT}"


def start_pod(namespace: Namespace, name: str, command: list[str], labels: dict[str, str] | None = None) -> None:
    """Start a pod of the tests' own and wait until it is ready."""
    reference = "{registry}/{repository}:{tag}".format(**image())
    container = {"name": "main", "image": reference, "command": command, "securityContext": SECURITY}
    if "8080" in command[-1] or PROGRAM in command:
        container["readinessProbe"] = {"tcpSocket": {"port": PORT}, "periodSeconds": 1}
    namespace.apply(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "labels": labels or {}},
            "spec": {
                "containers": [container],
                "automountServiceAccountToken": False,
                "terminationGracePeriodSeconds": 1,
            },
        }
    )
    namespace.kubectl("wait", f"pod/{name}", "--for=condition=Ready", "--timeout=60s")


def ask(namespace: Namespace, pod: str, url: str, headers: dict[str, str]) -> dict[str, Any]:
    """Send a request from a pod and return the JSON that came back."""
    answer: dict[str, Any] = json.loads(namespace.python(pod, ASK, url, json.dumps(headers)))
    return answer
