"""Waits until the database accepts connections: WAIT_URL, or WAIT_HOST and WAIT_PORT, for at most WAIT_SECONDS."""

from __future__ import annotations

import os
import socket
import sys
import time
from urllib.parse import urlsplit

DEFAULT_PORTS = {"mysql": 3306, "mariadb": 3306, "postgresql": 5432}
REPORT_SECONDS = 10


def read_address() -> tuple[str, int]:
    """Give host and port; those of a URL that has none are empty and 0."""
    if "WAIT_URL" not in os.environ:
        return os.environ["WAIT_HOST"], int(os.environ["WAIT_PORT"])
    try:
        url = urlsplit(os.environ["WAIT_URL"])
        return url.hostname or "", url.port or DEFAULT_PORTS.get(url.scheme.partition("+")[0], 0)
    except ValueError:
        # Not the error's own text: it has a part of the URL, which may be the password.
        sys.exit("wait-for-database: the URL has no readable host; percent-encode the password's reserved characters")


def main() -> None:
    """Connect until it works, and say every 10 seconds what is waited for."""
    host, port = read_address()
    if not host or not port:
        print("wait-for-database: the URL names no host and port; nothing to wait for")
        return
    seconds = float(os.environ["WAIT_SECONDS"])
    deadline = time.monotonic() + seconds
    next_report = time.monotonic()
    while True:
        try:
            socket.create_connection((host, port), timeout=5).close()
        except OSError as error:
            now = time.monotonic()
            if now >= deadline:
                sys.exit(
                    f"wait-for-database: {host}:{port} did not answer within {seconds:g} s: {error}; "
                    "check database.host, and that a NetworkPolicy lets this pod reach it"
                )
            if now >= next_report:
                print(f"wait-for-database: {host}:{port} does not answer yet: {error}", flush=True)
                next_report = now + REPORT_SECONDS
            time.sleep(1)
        else:
            print(f"wait-for-database: {host}:{port} accepts connections")
            return


main()
