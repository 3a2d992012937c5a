"""The whole report: a healthy container, the sidecar's, and a machine where nothing runs."""

from __future__ import annotations

import re
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

import ullage
from tests.doctor.conftest import Pod
from tests.promises.readings import Page
from tests.servers import free_port
from ullage.claim import claim
from ullage.segment import Identity

SHOP = """
import flask, sqlalchemy

engine = sqlalchemy.create_engine("sqlite://", pool_logging_name="shop")
app = flask.Flask(__name__)

@app.get("/")
def index():
    with engine.connect() as connection:
        return str(connection.scalar(sqlalchemy.text("SELECT 42")))
"""


def everything_in(*directories: Path) -> dict[str, tuple[int, int]]:
    """Return every file with its size and modification time."""
    files = [path for directory in directories for path in directory.rglob("*")]
    return {str(path): (path.stat().st_size, path.stat().st_mtime_ns) for path in files}


def serve(pod: Pod, wait_for, **environ: str) -> int:
    """Serve an application that knows nothing of ullage, on one Gunicorn worker, and ask it once."""
    (pod.work / "shop.py").write_text(SHOP)
    port = free_port()
    options = ("--bind", f"127.0.0.1:{port}", "--no-control-socket", "--workers", "1")
    pod.start(str(pod.python), "-m", "gunicorn", *options, "shop:app", ULLAGE_ROLE="web", **environ)
    wait_for(lambda: is_answering(port), 30, "Gunicorn")
    return port


def is_answering(port: int) -> bool:
    """Say whether the application answers."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=10) as response:
            return bool(response.read())
    except urllib.error.URLError:
        return False


def test_healthy(pod, wait_for):
    """All is ok: how the application's Python was started, its libraries and probes, segments and who writes them."""
    serve(pod, wait_for, ULLAGE_CONTAINER="app")
    wait_for(lambda: Page.read(pod.segments).total("flask_requests_total"), what="a request")
    before = everything_in(pod.segments, pod.volume, pod.work)
    found = pod.ask()
    assert (found.status, found.last) == (0, "all is well")
    assert {mark for mark, _, _ in found.lines} == {"ok"}
    assert re.match(rf"pid \d+: CPython 3\.\d+\.\d+, {pod.python}$", found.said("python"))
    assert found.said("ullage") == f"{ullage.__version__} from {pod.volume}/ullage"
    assert found.said("injection").splitlines()[0] == f"by {pod.volume}/site, entry 1 of 1 of PYTHONPATH"
    assert found.said("libraries").startswith("supported: sqlalchemy ")
    assert found.said("probes") == "install: pool, flask, rq, session"
    assert found.said("others") == "nobody else wraps what ullage wraps"
    assert f"ULLAGE_DIR={pod.segments}, ULLAGE_ROLE=web, ULLAGE_CONTAINER=app" in found.said("settings")
    assert "in memory: tmpfs at " in found.said("directory")
    assert found.said("locks") == "F_OFD_SETLK works on this file system"
    count, segment = found.said("segments").splitlines()
    assert count == "1 live, 0 free, 0 unreadable"
    assert re.search(
        r"\.seg: role web of container app, pid \d+, uid \d+, since 20\S+Z, probes up: flask, pool", segment
    )
    assert segment.endswith(", pools of shop")
    master, worker = found.said("processes").splitlines()
    assert "writes no segment: it has imported no library that is measured, as a master process has not" in master
    assert worker.endswith(f" writes {segment.partition(':')[0]}")
    assert "role web: X-Forwarded-For hops of 1 request: 1 expected (ULLAGE_PROXY_X_FOR=0" in found.said("requests")
    assert_json(pod.ask_json(), segment)
    assert everything_in(pod.segments, pod.volume, pod.work) == before


def assert_json(found: dict[str, Any], line: str) -> None:
    """--json has the same findings, and what they were made of."""
    assert found["status"] == "ok"
    assert {finding["mark"] for finding in found["findings"]} == {"ok"}
    assert line in [finding["text"] for finding in found["findings"]]
    (interpreter,) = found["interpreters"]
    assert interpreter["probes"] == dict.fromkeys(("pool", "flask", "rq", "session"), "installed")
    assert {"name": "ULLAGE_ROLE", "value": "web", "source": "environment", "refused": ""} in interpreter["settings"]
    (segment,) = found["segments"]
    assert (segment["state"], segment["role"], segment["engines"]) == ("live", "web", ["shop"])
    assert segment["pid"] in [process["pid"] for process in found["processes"] if process["segment"] == segment["file"]]


def test_nothing_runs_yet(pod):
    """Without a process it looks at its own interpreter, as the launcher would start it; and nobody writes."""
    before = everything_in(pod.segments, pod.volume, pod.work)
    found = pod.ask()
    assert found.status == 0
    assert found.said("python").startswith("this interpreter, as ullage-run starts it: CPython 3.")
    assert found.said("injection").startswith(f"by {pod.volume}/site, entry 1 of 1")
    ((check, text),) = found.marked("warn")
    assert check == "processes"
    assert text == (
        f"no process writes to {pod.segments}; start the application, and let it import SQLAlchemy, Flask or RQ"
    )
    assert found.last == "0 wrong, 1 to look at"
    assert everything_in(pod.segments, pod.volume, pod.work) == before == everything_in(pod.volume)


def test_an_installed_package(pod):
    """Where ullage is installed and not injected, it names the ways to be measured; no segment is claimed."""
    pod.python = Path(sys.executable)
    found = pod.ask(PYTHONPATH="")
    assert found.status == 0
    assert found.said("python").startswith("this interpreter: CPython ")
    assert found.said("injection").startswith(
        "none; this Python is measured once the application takes ullage.install()"
    )
    assert found.said("probes") == "install: pool, flask, rq, session"
    assert list(pod.segments.iterdir()) == []


def test_the_sidecar(pod, wait_for):
    """In the sidecar's container nothing need be hooked or written: what counts is that segments are read."""
    owned = claim(pod.segments, Identity("web", "app", 10001), 60.0)
    log = pod.work / "log"
    pod.start_plain(sys.executable, "-m", "ullage", "serve", "--listen-address", "127.0.0.1", "--port", "0")
    wait_for(lambda: log.exists() and "listens on" in log.read_text(), 30, "the sidecar")
    found = pod.ask(ULLAGE_PORT="tcp://10.0.0.1:9145")
    assert found.status == 0, found
    assert found.said("python") == "this is the sidecar's container: nothing is measured here, segments are read"
    assert "1 live, 0 free, 0 unreadable" in found.said("segments")
    assert owned.path.name in found.said("segments")
    assert "writable" not in found.said("directory")
    assert found.said("processes", "warn", "fail") == found.said("settings", "warn", "fail") == ""


@pytest.mark.parametrize("arguments", [["--loud"], ["here"], ["--dir"]], ids=" ".join)
def test_bad_usage(arguments):
    """A command line that is wrong is status 2, and how it is used."""
    done = subprocess.run(
        [sys.executable, "-m", "ullage", "doctor", *arguments], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("usage: ullage ")


def test_help():
    """--help says what is looked at, what the exit statuses mean, and how to run it in a pod."""
    done = subprocess.run(
        [sys.executable, "-m", "ullage", "doctor", "--help"], capture_output=True, text=True, check=True
    )
    assert "Nothing is changed and nothing left behind." in done.stdout
    assert "kubectl exec POD -- env PYTHONPATH=/opt/ullage python -m ullage doctor" in done.stdout
    assert "exit status: 0 when nothing is wrong, 1 when something is" in done.stdout
