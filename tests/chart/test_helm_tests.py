"""The programs of `helm test`, as the chart renders them, against the real application behind every topology."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from rq import Queue, SimpleWorker
from werkzeug.serving import make_server

from tests.chart import helm
from tests.servers import end_process, free_port, owned_command
from ullage.wsgi import make_app

EVALUATION = {"evaluation": {"enabled": True}}
PRESETS = ("none", "ingress-nginx", "ingress-nginx-behind-lb", "traefik", "alb", "gke", "istio", "cloudflare")
UNUSED = {
    "DATABASE_URL": "mysql+pymysql://shop@127.0.0.1:1/shop",
    "REDIS_URL": "redis://127.0.0.1:1/0",
}
FOREIGN_APP = "from flask import Flask\napp = Flask(__name__)\n"
Start = Callable[..., int]


@pytest.fixture
def start(tmp_path: Path, wait_for: Any) -> Iterator[Start]:
    """Give a function that runs a command on a free port, which it names by {port}, until the test ends."""
    processes = []

    def run(command: list[str], said: str, **environ: str) -> int:
        port = free_port()
        log = tmp_path / f"{port}.log"
        full = [sys.executable, "-m", *(part.format(port=port) for part in command)]
        path = os.pathsep.join([str(tmp_path), str(helm.CHART.parent)])
        env = {**os.environ, **UNUSED, "PYTHONPATH": path, "ULLAGE_DIR": str(tmp_path / "segments"), **environ}
        with log.open("wb") as output:
            processes.append(subprocess.Popen(owned_command(full), cwd=tmp_path, env=env, stdout=output, stderr=output))
        wait_for(lambda: said in log.read_text(), 30, command[0])
        return port

    (tmp_path / "segments").mkdir()
    yield run
    for process in processes:
        end_process(process, signal.SIGTERM, 20)


def environ_of(objects: helm.Objects) -> dict[str, str]:
    """Return what web's container has in its environment about its entry and the proxies."""
    container = helm.containers(objects.one("Deployment", "web")["spec"]["template"])[-1]
    environ = {variable["name"]: variable.get("value", "") for variable in container["env"]}
    return {name: value for name, value in environ.items() if name.startswith(("ULLAGE_APP", "ULLAGE_PROXY_"))}


def gunicorn(start: Start, objects: helm.Objects, **environ: str) -> int:
    """Run web's command as the chart has it, on a loopback port with one worker, and return the port."""
    command = list(helm.containers(objects.one("Deployment", "web")["spec"]["template"])[-1]["command"])
    command[command.index("--bind") + 1] = "127.0.0.1:{port}"
    command[command.index("--workers") + 1] = "1"
    return start(command, "Booting worker", **environ_of(objects), **environ)


@contextmanager
def served(environ: dict[str, str]) -> Iterator[int]:
    """Serve /whoami behind `ullage.wsgi`, from a thread, on a loopback port."""
    entry = make_app({**environ, "ULLAGE_APP": "tests.chart.whoami:app", "ULLAGE_ENABLED": "0"})
    server = make_server("127.0.0.1", 0, entry, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_port
    server.shutdown()
    thread.join()
    server.server_close()


def run_test(objects: helm.Objects, name: str, replaced: dict[int, str], **environ: str) -> tuple[int, str]:
    """Run a test pod's program with some of its arguments replaced, and return its status and what it said."""
    pods = [pod for pod in objects.of("Pod") if pod["metadata"]["name"].endswith(f"-test-{name}")]
    arguments = list(pods[0]["spec"]["containers"][0]["args"])
    for index, value in replaced.items():
        arguments[index] = value
    command = [sys.executable, "-c", *arguments]
    done = subprocess.run(
        command, env={**os.environ, **environ}, capture_output=True, text=True, timeout=60, check=False
    )
    return done.returncode, done.stdout + done.stderr


def behind(topology: str, **values: Any) -> helm.Objects:
    """Render the chart for a topology."""
    return helm.render({**EVALUATION, "proxy": {"topology": topology}, **values})


class TestProxies:
    """Who is believed behind each topology."""

    @pytest.mark.parametrize("topology", PRESETS)
    def test_each_topology_believes_its_proxies_and_no_client(self, topology):
        """What the topology's proxies send is believed, what a client sends before it is not."""
        objects = behind(topology)
        with served(environ_of(objects)) as port:
            status, said = run_test(objects, "proxy", {1: "127.0.0.1", 2: str(port)})
        assert status == 0, said
        assert said.startswith("ok: the proxies are believed"), said

    def test_a_prefix_and_many_hops_are_believed(self):
        """A path prefix and a topology of one's own, with several proxies for each header, work as well."""
        custom = {"xFor": 3, "xProto": 2, "xHost": 2, "xPort": 1, "xPrefix": 1}
        objects = helm.render({**EVALUATION, "proxy": {"topology": "custom", "custom": custom}})
        with served(environ_of(objects)) as port:
            status, said = run_test(objects, "proxy", {1: "127.0.0.1", 2: str(port)})
        assert status == 0, said

    def test_wrong_counts_fail_with_what_was_believed(self):
        """With a count too low, the test fails and shows whom the application takes for its client."""
        with served(environ_of(behind("alb"))) as port:
            status, said = run_test(behind("gke"), "proxy", {1: "127.0.0.1", 2: str(port)})
        assert (status, "remote_address is '192.0.2.10', not '203.0.113.7'" in said) == (1, True), said

    def test_another_application_is_judged_by_its_metrics(self, start, tmp_path):
        """An application without /whoami passes when its metrics count the request as expected, and fails otherwise."""
        (tmp_path / "foreign.py").write_text(FOREIGN_APP)
        objects = behind("gke", web={"app": "foreign:app"})
        web = gunicorn(start, objects, ULLAGE_ROLE="web", ULLAGE_CONTAINER="web")
        sidecar = start(["ullage", "serve", "--listen-address", "127.0.0.1", "--port", "{port}"], "listens on")
        url = f"http://127.0.0.1:{sidecar}/metrics"
        status, said = run_test(objects, "proxy", {1: "127.0.0.1", 2: str(web), 3: url})
        assert (status, said) == (0, "ok: 2 addresses in X-Forwarded-For are what the application expects\n")
        status, said = run_test(objects, "metrics", {1: "5", 2: f"web={url}", 3: f"web={url}"})
        assert (status, said) == (0, "ok: 1 web pods serve metrics\n" * 2)


class TestWeb:
    """The page through the Service, and what a client can do there."""

    def test_the_page_answers_and_a_client_cannot_move_the_path(self, start):
        """A page that answers passes, a missing one says what to set, and a client's SCRIPT_NAME changes no path."""
        objects = behind("traefik")
        port = gunicorn(start, objects, ULLAGE_ENABLED="0")
        asked = {1: "127.0.0.1", 2: str(port), 5: "0"}
        assert run_test(objects, "web", asked) == (0, f"ok: http://127.0.0.1:{port}/livez answers\n")
        status, said = run_test(objects, "web", {**asked, 3: "/nowhere"})
        assert (status, "status 404" in said, "tests.path" in said) == (1, True, True), said
        connection = HTTPConnection("127.0.0.1", port, timeout=10)
        connection.request("GET", "/hidden/whoami", headers={"SCRIPT_NAME": "/hidden"})
        assert connection.getresponse().status == 404
        connection.close()


class TestQueues:
    """A job's way through each queue."""

    def test_a_worker_does_the_job_and_nothing_stays(self, redis_server):
        """Each queue of each worker set gets a job that any worker can do, and Redis is as before."""
        connection = Redis.from_url(redis_server.url)
        connection.flushdb()
        sets = [{"name": "default", "queues": ["high", "default"]}, {"name": "low", "queues": ["low", "default"]}]
        objects = helm.render({**EVALUATION, "workers": sets})
        pod = next(pod for pod in objects.of("Pod") if pod["metadata"]["name"].endswith("-test-queues"))
        arguments = pod["spec"]["containers"][0]["args"]
        assert arguments[1:] == ["90", "high", "default", "low"]
        command = [sys.executable, "-c", *arguments]
        environ = {**os.environ, "RQ_REDIS_URL": redis_server.url}
        with subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, text=True) as process:
            queues = [Queue(name, connection=connection) for name in ("high", "default", "low")]
            SimpleWorker(queues, connection=connection).work(max_jobs=3)
            said, _ = process.communicate(timeout=30)
        assert (process.returncode, said) == (0, "ok: queue high\nok: queue default\nok: queue low\n")
        assert not list(connection.scan_iter("rq:job:*"))

    def test_a_queue_without_a_worker_fails_and_keeps_no_job(self, redis_server):
        """Where nobody works, the test fails, names the queue, and takes its job away."""
        connection = Redis.from_url(redis_server.url)
        connection.flushdb()
        status, said = run_test(helm.render(EVALUATION), "queues", {1: "0.5"}, RQ_REDIS_URL=redis_server.url)
        assert (status, "queue default: the job is queued after 0.5 s" in said) == (1, True), said
        assert not Queue("default", connection=connection).job_ids


def test_no_secret_is_in_an_argument():
    """A test pod takes Redis' URL from the Secret, and no password is in what it runs."""
    objects = helm.render({**EVALUATION, "redis": {"password": "not-for-everybody"}})
    assert "not-for-everybody" not in json.dumps(objects.of("Pod"))
