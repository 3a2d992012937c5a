"""Send what the topology's proxies would send, after what a client invents, and see who is believed.

python proxy.py HOST PORT METRICS_URL COUNTS: /whoami of the reference application says what was believed. Another
application has none: then flask_forwarded_hops_total of its pods, at METRICS_URL, must count a request as expected.
"""

import http.client
import json
import re
import socket
import ssl
import sys
import time
from urllib.parse import urlsplit

# What a client could send, what the first proxy saw, and what further proxies add behind it.
VALUES = {
    "For": ("203.0.113.66", "203.0.113.7", "192.0.2.10"),
    "Proto": ("gopher", "https", "http"),
    "Host": ("spoofed.example", "shop.example", "inner.example"),
    "Port": ("6666", "8443", "8080"),
    "Prefix": ("/spoofed", "/shop", "/inner"),
}
SERVICE = "service.example"


def headers(counts, with_spoofed):
    """Where no proxy sets a header a client's own comes through; elsewhere it stands before the proxies'."""
    sent = {"Host": SERVICE}
    for name, (spoofed, first, further) in VALUES.items():
        count = counts[name]
        values = [spoofed] * with_spoofed + [first] * (count > 0) + [further] * (count - 1)
        if values:
            sent["X-Forwarded-" + name] = ", ".join(values)
    return sent


def whoami(host, port, sent):
    """Return what the application believes, or None where it has no /whoami."""
    connection = http.client.HTTPConnection(host, port, timeout=10)
    try:
        connection.request("GET", "/whoami", headers=sent)
        response = connection.getresponse()
        found = json.load(response) if response.status == 200 else None
    except ValueError:
        found = None
    finally:
        connection.close()
    return found if isinstance(found, dict) and "remote_address" in found else None


def wrong(counts, found):
    """Return what /whoami should not have believed, as sentences."""
    believed = {name: VALUES[name][1] if counts[name] else "" for name in VALUES}
    wanted = {
        "remote_address": believed["For"],
        "scheme": believed["Proto"] or "http",
        "host": (believed["Host"] or SERVICE) + (f":{believed['Port']}" if counts["Port"] else ""),
        "prefix": believed["Prefix"],
    }
    if not counts["For"] and found["remote_address"] not in VALUES["For"]:
        # This pod's address, or a node's.
        wanted["remote_address"] = found["remote_address"]
    return [f"{key} is {found[key]!r}, not {value!r}" for key, value in wanted.items() if found[key] != value]


def check_whoami(host, port, counts):
    """See that the proxies are believed, and what is spoofed is not."""
    problems = []
    for with_spoofed in (False, True):
        for problem in wrong(counts, whoami(host, port, headers(counts, with_spoofed))):
            problems.append(f"{problem} ({'with' if with_spoofed else 'without'} spoofed headers)")
    if problems:
        sys.exit(f"failed: {'; '.join(problems)}; the counts are {counts}. See docs/proxies.md")
    print(f"ok: the proxies are believed and spoofed headers are not; the counts are {counts}")


def page(url, address):
    """Return the metrics of the pod at an address."""
    parts = urlsplit(url)
    if parts.scheme == "https":
        context = ssl.create_default_context()
        # The certificate names no pod's address.
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        connection = http.client.HTTPSConnection(address, parts.port, timeout=10, context=context)
    else:
        connection = http.client.HTTPConnection(address, parts.port, timeout=10)
    try:
        connection.request("GET", parts.path)
        return connection.getresponse().read().decode()
    finally:
        connection.close()


def hops(url):
    """Sum flask_forwarded_hops_total over web's pods, by what was seen."""
    parts = urlsplit(url)
    found = socket.getaddrinfo(parts.hostname, parts.port, type=socket.SOCK_STREAM)
    seen = {}
    for address in {entry[4][0] for entry in found}:
        series = r'^flask_forwarded_hops_total\{[^}]*seen="(\w+)"[^}]*\} (\S+)$'
        for name, value in re.findall(series, page(url, address), re.M):
            seen[name] = seen.get(name, 0) + float(value)
    return seen


def check_hops(host, port, url, counts):
    """See that a request through the topology's proxies is counted as expected."""
    if not url:
        print("skipped: the application has no /whoami, and its pods' metrics cannot be read")
        return
    before = hops(url)
    whoami(host, port, headers(counts, with_spoofed=False))
    deadline = time.monotonic() + 20
    while (after := hops(url)).get("expected", 0) <= before.get("expected", 0):
        if time.monotonic() > deadline:
            sys.exit(
                f"failed: a request with {counts['For']} addresses in X-Forwarded-For was not counted as expected: "
                f"flask_forwarded_hops_total was {before} and is {after}. Does the application have a ProxyFix of its "
                "own? See docs/proxies.md"
            )
        time.sleep(0.5)
    print(f"ok: {counts['For']} addresses in X-Forwarded-For are what the application expects")


def main(host, port, url, given):
    counts = {name: json.loads(given)["x_" + name.lower()] for name in VALUES}
    try:
        if whoami(host, int(port), headers(counts, with_spoofed=False)):
            check_whoami(host, int(port), counts)
        else:
            check_hops(host, int(port), url, counts)
    except (OSError, http.client.HTTPException) as error:
        sys.exit(f"failed: {error!r} while asking {host}:{port} and {url}")


main(*sys.argv[1:])
