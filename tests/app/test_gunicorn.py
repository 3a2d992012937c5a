"""The application on its real server."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request
from http.client import RemoteDisconnected

import pytest

from tests.app.conftest import ROOT
from tests.servers import end_process, free_port, owned_command


@pytest.fixture
def served(web, wait_for, tmp_path):
    """Give the address of the application on Gunicorn with one worker."""
    port = free_port()
    environ = {**os.environ, "GUNICORN_CMD_ARGS": "", "HOME": str(tmp_path)}
    command = [sys.executable, "-m", "gunicorn", "--bind", f"127.0.0.1:{port}", "app.web:create_app()"]
    with (tmp_path / "gunicorn.log").open("wb") as log:
        process = subprocess.Popen(owned_command(command), cwd=ROOT, env=environ, stdout=log, stderr=log)
    wait_for(lambda: "Booting worker" in (tmp_path / "gunicorn.log").read_text(), 30, "Gunicorn")
    yield f"http://127.0.0.1:{port}"
    end_process(process, signal.SIGTERM, 20)


def call(url, method="GET", body=None):
    """Send a request and give the JSON answer."""
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"}, method=method)
    with urllib.request.urlopen(request, timeout=20) as response:
        return json.load(response)


def test_serves_and_survives_a_crash(served, wait_for):
    """The factory runs on Gunicorn; a crash costs its own request, and a new worker serves what was stored."""
    order = {"customer": "Ada", "lines": [{"sku": "TEA", "quantity": 1, "unit_price": 1}]}
    created = call(f"{served}/orders", "POST", json.dumps(order).encode())
    with pytest.raises((RemoteDisconnected, ConnectionResetError)):
        call(f"{served}/faults/crash", "POST")
    assert call(f"{served}/orders/{created['id']}") == created
