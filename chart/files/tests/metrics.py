"""See that every web and worker pod serves metrics: python metrics.py SECONDS COMPONENT=URL ..."""

import http.client
import re
import socket
import ssl
import sys
import time
from urllib.parse import urlsplit

# What is up in an instrumented process before it has done anything.
PROBES = {"web": "flask", "worker": "rq"}


def ask(scheme, address, port):
    """Return the status and the text of a pod's metrics."""
    if scheme == "https":
        context = ssl.create_default_context()
        # The certificate names no pod's address.
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        connection = http.client.HTTPSConnection(address, port, timeout=10, context=context)
    else:
        connection = http.client.HTTPConnection(address, port, timeout=10)
    try:
        connection.request("GET", "/metrics")
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


def problem_of(status, text, probe):
    """Return what is wrong with a pod's metrics, or nothing."""
    if status == 401:
        # exporter.webConfigSecret asks for a password, and this test has none.
        return ""
    if status != 200:
        return f"status {status}"
    if not re.search(r"^ullage_up(\{.*\})? 1(\.0)?$", text, re.M):
        return "ullage_up is not 1"
    if not re.search(rf'^ullage_probe_up\{{[^}}]*probe="{probe}"[^}}]*\}} [1-9]', text, re.M):
        return f"no process has the probe {probe} up (ullage_probe_up)"
    return ""


def check(component, url):
    """Return the problems of a component's pods, which are all behind one headless Service."""
    parts = urlsplit(url)
    problems = []
    try:
        found = socket.getaddrinfo(parts.hostname, parts.port, type=socket.SOCK_STREAM)
        pods = sorted({entry[4][0] for entry in found})
        for pod in pods:
            problem = problem_of(*ask(parts.scheme, pod, parts.port), PROBES[component])
            problems += [f"{component} pod {pod}: {problem}"] if problem else []
    except (OSError, http.client.HTTPException) as error:
        return [f"{component} pods at {url}: {error!r}"]
    if not problems:
        print(f"ok: {len(pods)} {component} pods serve metrics")
    return problems


def main(seconds, targets):
    deadline = time.monotonic() + seconds
    for component, _, url in (target.partition("=") for target in targets):
        while problems := check(component, url):
            if time.monotonic() > deadline:
                sys.exit(f"failed: {'; '.join(problems)}. See the log of the container ullage in those pods")
            time.sleep(1)


main(float(sys.argv[1]), sys.argv[2:])
