"""Servers, workers and children of an application that knows nothing of ullage: each process is measured."""

from __future__ import annotations

import importlib.util
import signal
import subprocess
import urllib.request
from pathlib import Path

import pytest

from tests.promises.readings import Page
from tests.servers import end_process, free_port, owned_command

SHOP = """
import os, flask, sqlalchemy

engine = sqlalchemy.create_engine("sqlite://", pool_logging_name="shop")

def create_app():
    app = flask.Flask(__name__)

    @app.get("/orders/<int:number>")
    def order(number):
        with engine.connect() as connection:
            return {"number": connection.scalar(sqlalchemy.text(f"SELECT {number}"))}

    return app
"""
JOBS = """
import sqlalchemy

engine = sqlalchemy.create_engine("sqlite://", poolclass=sqlalchemy.QueuePool, pool_logging_name="jobs")
held = []

def release():
    with engine.connect() as connection:
        return connection.scalar(sqlalchemy.text("SELECT 42"))

def leak():
    held.append(engine.connect())

def session():
    from sqlalchemy.orm import Session
    held.append(Session(engine))
    held[-1].execute(sqlalchemy.text("SELECT 42"))
"""
SEEN = "import sqlalchemy; print('/ullage/probe/pool.py' in sqlalchemy.pool.Pool.connect.__code__.co_filename)"


def get(port: int, path: str) -> bytes:
    """Return the body of a response."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as response:
        return bytes(response.read())


class TestGunicorn:
    """Gunicorn's workers of every kind."""

    @pytest.mark.parametrize(
        "options",
        [
            pytest.param((), id="sync"),
            pytest.param(("--preload",), id="preload"),
            pytest.param(("--worker-class", "gthread", "--threads", "4"), id="gthread"),
            pytest.param(("--worker-class", "gevent"), id="gevent"),
        ],
    )
    def test_requests_and_checkouts(self, injected, write, wait_for, tmp_path, options):
        """An unchanged application on two workers: every request and every checkout is counted once."""
        if "gevent" in options and not importlib.util.find_spec("gevent"):
            pytest.skip("gevent is not installed")
        code = write("code", shop=SHOP)
        port = free_port()
        bind = ("--bind", f"127.0.0.1:{port}", "--workers", "2", "--no-control-socket", *options)
        command = owned_command([str(injected.python), "-m", "gunicorn", *bind, "shop:create_app()"])
        with (tmp_path / "gunicorn.log").open("wb") as log:
            process = subprocess.Popen(command, cwd=code, env=injected.environment(), stdout=log, stderr=log)
        try:
            wait_for(lambda: Page.read(injected.segments).total("ullage_probe_up", probe="flask") >= 2, 30, "workers")
            for number in range(20):
                assert get(port, f"/orders/{number}") == f'{{"number":{number}}}\n'.encode()
            # A request is counted when its response was closed, which the client does not wait for.
            wait_for(lambda: Page.read(injected.segments).total("flask_requests_total") >= 20, what="20 requests")
            page = Page.read(injected.segments)
            assert page.by("flask_requests_total", "route") == {"/orders/<int:number>": 20}
            assert page.by("sqlalchemy_pool_checkouts_total", "engine") == {"shop": 20}
        finally:
            end_process(process, signal.SIGTERM, 20)
        assert "ullage" not in (tmp_path / "gunicorn.log").read_text()


class TestRq:
    """RQ's workers, with work horses that are forked and spawned."""

    @pytest.mark.parametrize("kind", ["Worker", "SpawnWorker"])
    def test_jobs_and_leaks(self, injected, write, redis_server, tmp_path, kind):
        """`rq worker` unchanged: jobs by outcome, and leaks by the job's function."""
        from redis import Redis
        from rq import Queue

        code = write("code", shop_jobs=JOBS)
        with Redis.from_url(redis_server.url) as connection:
            queue = Queue(f"inject-{tmp_path.name}-{kind}", connection=connection)
            for name in ("release", "leak", "session"):
                queue.enqueue(f"shop_jobs.{name}")
            options = ("--url", redis_server.url, "--burst", "--quiet", "--worker-class", f"rq.worker.{kind}")
            command = ["-m", "rq.cli", "worker", *options, "--path", str(code), queue.name]
            done = injected.start(command, injected.environment(code))
        assert done.returncode == 0, done.stderr
        page = Page.read(injected.segments)
        assert page.by("rq_jobs_total", "function", outcome="finished") == {
            f"shop_jobs.{name}": 1 for name in ("release", "leak", "session")
        }
        assert page.by("ullage_leaks_total", "kind") == {"held_at_job_end": 2}
        leaks = page.by("sqlalchemy_unreleased_sessions_total", "function")
        assert leaks == {"shop_jobs.leak": 1, "shop_jobs.session": 1}


class TestChildren:
    """What a measured process starts is measured too."""

    @pytest.mark.parametrize(
        "code",
        [
            pytest.param(f"import subprocess, sys; subprocess.run([sys.executable, '-c', {SEEN!r}])", id="subprocess"),
            pytest.param(f"import os, sys; os.execv(sys.executable, [sys.executable, '-c', {SEEN!r}])", id="exec"),
            *(
                pytest.param(
                    f"""
import multiprocessing, see
if __name__ == "__main__":
    child = multiprocessing.get_context({method!r}).Process(target=see.run)
    child.start()
    child.join()
""",
                    id=method,
                )
                for method in ("spawn", "forkserver", "fork")
            ),
        ],
    )
    def test_children(self, injected, write, code):
        """Started by subprocess, exec or multiprocessing, they find what they need in the environment."""
        directory = write("code", main=code, see=f"def run():\n    {SEEN}\n")
        done = injected.start([str(directory / "main.py")], injected.environment())
        assert (done.stdout, done.stderr) == ("True\n", "")

    def test_the_flask_command(self, injected, write):
        """`python -m flask` shows the application's routes as it does without ullage, and is measured."""
        code = write("code", shop=SHOP)
        command = ["-m", "flask", "--app", str(code / "shop.py"), "routes"]
        done = injected.start(command, injected.environment())
        plain = injected.start(command, injected.plain())
        assert done.stdout == plain.stdout != ""
        assert (done.stderr, done.returncode) == (plain.stderr, plain.returncode)
        assert len(list(injected.segments.iterdir())) == 1

    def test_a_process_that_only_starts_others(self, injected, tmp_path):
        """A shell script of short programs leaves no file and no line."""
        script = f'for i in 1 2 3; do "{injected.python}" -c "import json, http.client, logging, threading"; done'
        done = subprocess.run(
            ["sh", "-c", script], env=injected.environment(), capture_output=True, text=True, check=True
        )
        assert (done.stdout, done.stderr) == ("", "")
        assert list(injected.segments.iterdir()) == []


def test_gevent_may_patch_after_the_start(injected):
    """What gevent patches has not been imported before an application's first line."""
    code = "import sys; print({'threading', 'socket', 'ssl', 'logging', 'queue'} & set(sys.modules))"
    assert injected.run(code).stdout == injected.run_plain(code).stdout == "set()\n"


def test_the_volume_is_the_only_thing_that_is_needed(injected, own_volume: Path):
    """A volume that is gone after the start costs a line, and the application goes on."""
    code = f"import os; os.rename({str(own_volume)!r}, {str(own_volume) + '.gone'!r})\n{SEEN}"
    done = injected.run(code)
    assert (done.returncode, done.stdout) == (0, "False\n")
    assert done.stderr.startswith("ullage is off: ModuleNotFoundError")
    assert done.stderr.count("\n") == 1
