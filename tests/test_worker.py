"""`ullage worker`, as a process of its own on a real Redis, with a small application written for each test."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import textwrap
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import rq
from redis import Redis
from rq import Queue, suspension

from tests import servers
from ullage.settings import SettingError, worker_settings
from ullage.worker.command import RQ_DEFAULTS

ROOT = Path(__file__).parents[1]
ULLAGE = [sys.executable, "-m", "ullage", "worker"]
# What the worker's tasks are: each test's `shop` package has them, beside what the test adds.
TASKS = """
import gc, os
from pathlib import Path
from redis import Redis

Path(__file__).with_name("imports").open("a").write(f"{os.getpid()}\\n")

def where():
    return [os.getpid(), os.getppid(), gc.get_freeze_count()]

def wait(url, key):
    with Redis.from_url(url) as redis:
        redis.rpush(f"{key}:started", os.getpid())
        redis.blpop(f"{key}:go", timeout=60)
    return "done"
"""


@dataclass
class Worker:
    """A running or finished `ullage worker`."""

    process: subprocess.Popen[bytes]
    log: Path

    @property
    def text(self) -> str:
        """What it has printed."""
        return self.log.read_text()

    def wait(self, timeout: float = 60) -> int:
        """Wait for its end and return the exit status."""
        return self.process.wait(timeout)


class Shop:
    """A throw-away application: a directory on the worker's import path, and a queue."""

    def __init__(self, directory: Path, redis: servers.Redis, started: ExitStack) -> None:
        self.directory = directory
        self.url = redis.url
        self.redis = started.enter_context(Redis.from_url(redis.url))
        self.queue = Queue(f"test-{uuid.uuid4().hex}", connection=self.redis)
        self.started = started
        (directory / "shop").mkdir()
        self.write("__init__", "")
        self.write("tasks", TASKS)

    def write(self, module: str, text: str) -> Path:
        """Write a module of the package `shop`."""
        path = self.directory / "shop" / f"{module}.py"
        path.write_text(textwrap.dedent(text))
        return path

    def start(self, *arguments: str, command: list[str] | None = None, **environ: str) -> Worker:
        """Start `ullage worker` on the queue, in the application's directory."""
        log = self.directory / f"{uuid.uuid4().hex}.log"
        clean = {name: value for name, value in os.environ.items() if not name.startswith("ULLAGE_")}
        path = os.pathsep.join([str(ROOT / "exporter"), str(ROOT)])
        segments = self.directory / "segments"
        segments.mkdir(exist_ok=True)
        with log.open("wb") as output:
            process = subprocess.Popen(
                [*(command or ULLAGE), "--url", self.url, *arguments, self.queue.name],
                cwd=self.directory,
                env={**clean, "PYTHONPATH": path, "ULLAGE_DIR": str(segments), **environ},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        self.started.callback(servers.end_process, process, signal.SIGKILL, 20)
        return Worker(process, log)

    def run(self, *arguments: str, **options: Any) -> Worker:
        """Run `ullage worker --burst` to its end."""
        worker = self.start("--burst", *arguments, **options)
        worker.wait()
        return worker

    def start_waiting_job(self, **options: Any) -> tuple[Any, str]:
        """Enqueue a job that waits until `redis.rpush(f"{key}:go", 1)`; return it and the key."""
        key = uuid.uuid4().hex
        return self.queue.enqueue("shop.tasks.wait", self.url, key, **options), key

    def await_start(self, key: str) -> int:
        """Wait until the waiting job runs and return its process id."""
        found = self.redis.blpop([f"{key}:started"], timeout=60)
        assert found
        return int(found[1])

    @property
    def imports(self) -> list[int]:
        """The processes that imported shop.tasks, once for each time."""
        path = self.directory / "shop" / "imports"
        return [int(line) for line in path.read_text().split()] if path.exists() else []


@pytest.fixture
def shop(tmp_path: Path, redis_server: servers.Redis) -> Iterator[Shop]:
    """Give an application with a queue of its own; its workers end with the test."""
    with ExitStack() as started:
        yield Shop(tmp_path, redis_server, started)


def result(job: Any) -> Any:
    """Return what a job returned, by whatever name RQ has for that."""
    job.refresh()
    assert job.is_finished, job.get_status()
    return job.return_value()


class TestOptions:
    def test_help(self) -> None:
        """The help lists ullage's options and every option of the installed RQ, apart."""
        ours = subprocess.run([*ULLAGE, "--help"], capture_output=True, text=True, check=True).stdout
        command = [sys.executable, "-m", "rq.cli", "worker", "--help"]
        theirs = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        options = set(re.findall(r"^  (?:-\w+, )?(--[\w-]+)", theirs, re.MULTILINE))
        assert {"--burst", "--worker-class", "--url"} <= options
        own, rest = ours.split(f"RQ {rq.__version__}'s options:")
        assert all(option in rest for option in options)
        assert all(option in own for option in ("--preload", "--no-preload", "--heartbeat-file", "--check-heartbeat"))

    def test_pass_through(self, shop: Shop) -> None:
        """Options of RQ do what they do under `rq worker`: class, name, log format, number of jobs, pid file."""
        shop.write("workers", "from rq import SimpleWorker\nclass Own(SimpleWorker): pass\n")
        first, second = (shop.queue.enqueue("shop.tasks.where") for _ in range(2))
        worker = shop.run(
            *("-w", "shop.workers.Own", "--name", shop.queue.name, "--max-jobs", "1", "--pid", "worker.pid"),
            *("--log-format", "seen: %(message)s", "-v"),
        )
        assert worker.wait() == 0, worker.text
        assert result(first)[0] == int((shop.directory / "worker.pid").read_text()) == worker.process.pid
        assert second.get_status() == "queued"
        assert re.search(rf"seen: .*{shop.queue.name}", worker.text)

    def test_unknown_option(self, shop: Shop) -> None:
        """An option that neither knows ends the command with status 2 and its name."""
        worker = shop.run("--prelod", "shop")
        assert worker.wait() == 2
        assert "--prelod" in worker.text

    def test_options_that_exclude_each_other(self, shop: Shop) -> None:
        """--preload with --no-preload is refused with status 2."""
        worker = shop.run("--preload", "shop", "--no-preload")
        assert worker.wait() == 2
        assert "--preload and --no-preload exclude each other" in worker.text

    @pytest.mark.parametrize(
        ("arguments", "expected"),
        [
            pytest.param([], list(RQ_DEFAULTS.values()), id="default"),
            pytest.param(["--worker-ttl", "420", "--maintenance-interval", "600"], [420, 600, 10], id="given"),
        ],
    )
    def test_intervals(self, shop: Shop, arguments: list[str], expected: list[int]) -> None:
        """Unless told otherwise a worker looks for abandoned jobs within half a minute, where RQ takes ten."""
        shop.write(
            "workers",
            """
            from rq import SimpleWorker
            class Own(SimpleWorker):
                def work(self, *args, **kwargs):
                    print("intervals:", self.worker_ttl, self.maintenance_interval, self.job_monitoring_interval)
                    return super().work(*args, **kwargs)
            """,
        )
        worker = shop.run("-w", "shop.workers.Own", *arguments)
        assert f"intervals: {' '.join(map(str, expected))}\n" in worker.text

    def test_without_rq(self) -> None:
        """Where RQ is not installed the command says so in one line, with status 2."""
        code = "import sys; sys.modules['rq'] = None; from ullage.cli import main; sys.exit(main())"
        done = subprocess.run([sys.executable, "-c", code, "worker"], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (
            2,
            "ullage worker: the Python package rq is missing; install ullage into the application's environment, "
            "where RQ is, or run: pip install rq\n",
        )

    def test_is_measured(self, shop: Shop) -> None:
        """The worker and its work horses are instrumented."""
        shop.queue.enqueue("shop.tasks.where")
        assert shop.run().wait() == 0
        assert list((shop.directory / "segments").glob("*.seg"))


class TestPreload:
    @pytest.mark.parametrize("by", ["option", "environment"])
    def test_module(self, shop: Shop, by: str) -> None:
        """A named module is imported once, in the worker, and every job still runs in a fork of its own."""
        jobs = [shop.queue.enqueue("shop.tasks.where") for _ in range(3)]
        worker = shop.run("--preload", "shop.tasks") if by == "option" else shop.run(ULLAGE_PRELOAD="shop.tasks")
        assert worker.wait() == 0, worker.text
        assert shop.imports == [worker.process.pid]
        pids, parents, _ = zip(*map(result, jobs), strict=True)
        assert len({*pids, worker.process.pid}) == 4
        assert set(parents) == {worker.process.pid}
        assert re.search(r"Preloaded shop\.tasks in \d+\.\d\d s", worker.text)

    @pytest.mark.parametrize("name", ["shop.web:create_app", "shop.web:create_app()", "shop.web:Shop.open"])
    def test_callable(self, shop: Shop, name: str) -> None:
        """A named callable is called once, in the worker, before the first job."""
        shop.write(
            "web",
            """
            import os
            made = []
            def create_app():
                made.append(os.getpid())
            class Shop:
                open = staticmethod(create_app)
            def seen():
                return made
            """,
        )
        jobs = [shop.queue.enqueue("shop.web.seen") for _ in range(2)]
        worker = shop.run("--preload", name)
        assert [result(job) for job in jobs] == [[worker.process.pid]] * 2

    def test_several(self, shop: Shop) -> None:
        """Several are preloaded in the order given, and `auto` adds what the waiting jobs tell."""
        shop.write("one", "print('order: one')")
        shop.write("two", "print('order: two')")
        shop.queue.enqueue("shop.tasks.where")
        worker = shop.run("--preload", "shop.two", "--preload", "shop.one", "--preload", "auto")
        assert re.findall("order: (.*)", worker.text) == ["two", "one"]
        assert "Preloaded shop.two, shop.one, shop.tasks in" in worker.text

    def test_waiting_jobs(self, shop: Shop) -> None:
        """Without --preload the functions of waiting jobs tell what to import, once, in the worker."""
        jobs = [shop.queue.enqueue("shop.tasks.where") for _ in range(3)]
        worker = shop.run()
        assert worker.wait() == 0, worker.text
        assert shop.imports == [worker.process.pid]
        assert all(result(job)[1] == worker.process.pid for job in jobs)

    def test_waiting_jobs_are_bounded(self, shop: Shop) -> None:
        """Of a long queue 25 jobs at each end are looked at, and nothing between them."""
        for name in ("first", "between", "last"):
            shop.write(name, f"print('imported {name}')\nfrom shop.tasks import where")
        for name, count in (("tasks", 24), ("first", 1), ("between", 9), ("last", 1), ("tasks", 24)):
            for _ in range(count):
                shop.queue.enqueue(f"shop.{name}.where")
        worker = shop.run("--max-jobs", "1")
        assert re.findall("imported (.*)", worker.text) == ["first", "last"]

    def test_waiting_jobs_that_cannot_be_imported(self, shop: Shop) -> None:
        """A waiting job whose function cannot be imported is a warning with the line; the others run."""
        path = shop.write("broken", "\nraise RuntimeError('no way')\ndef run(): pass\n")
        bad, good, undecodable = (
            shop.queue.enqueue(name) for name in ("shop.broken.run", "shop.tasks.where", "shop.tasks.where")
        )
        shop.redis.hset(undecodable.key, "data", b"garbage")
        worker = shop.run()
        assert worker.wait() == 0, worker.text
        assert f"Not preloaded: the function of job {bad.id}: RuntimeError: no way; raised at {path}:2" in worker.text
        bad.refresh()
        assert bad.is_failed
        assert result(good)[1] == worker.process.pid

    def test_nothing_waits(self, shop: Shop) -> None:
        """When no job waits the log says that nothing was preloaded and how to name it."""
        assert "Preloaded nothing, as no job is waiting that tells what" in shop.run().text

    @pytest.mark.parametrize("by", ["option", "environment"])
    def test_off(self, shop: Shop, by: str) -> None:
        """--no-preload leaves importing to the jobs, as under `rq worker`."""
        jobs = [shop.queue.enqueue("shop.tasks.where") for _ in range(2)]
        worker = shop.run("--no-preload") if by == "option" else shop.run(ULLAGE_PRELOAD="none")
        assert shop.imports == [result(job)[0] for job in jobs]
        assert "Preloaded" not in worker.text

    def test_nothing_is_left_to_import(self, shop: Shop) -> None:
        """A horse of a preloaded application imports nothing at all, neither the application's code nor RQ's."""
        shop.write(
            "web",
            """
            import sys
            seen = set()
            def mark():
                seen.update(sys.modules)
            def late():
                return sorted(set(sys.modules) - seen)
            """,
        )
        job = shop.queue.enqueue("shop.web.late")
        shop.run("--preload", "shop.web:mark")
        assert result(job) == []

    def test_memory_is_shared(self, shop: Shop) -> None:
        """What was preloaded is frozen before the fork, so that no collection copies it into the horse."""
        job = shop.queue.enqueue("shop.tasks.where")
        shop.run()
        assert result(job)[2] > 10_000

    @pytest.mark.parametrize(
        ("name", "text", "message"),
        [
            pytest.param(
                "shop.web",
                "\n\nint('x')\n",
                "shop.web: ValueError: invalid literal for int() with base 10: 'x'; raised at {path}:3 in <module>",
                id="import",
            ),
            pytest.param(
                "shop.web:create_app",
                "import json\ndef create_app():\n    json.loads('{{')\n",
                "shop.web:create_app: JSONDecodeError: Expecting property name enclosed in double quotes: "
                "line 1 column 2 (char 1); raised at {path}:3 in create_app",
                id="called, in a library",
            ),
            pytest.param("shop.web", "def (:\n", "shop.web: SyntaxError: ", id="syntax"),
            pytest.param("shop.web", "import sys\nsys.exit('no DATABASE_URL')\n", "{path}:2 in <module>", id="exit"),
            pytest.param(
                "shop.web",
                "import no_such_library\n",
                "shop.web: ModuleNotFoundError: No module named 'no_such_library'; raised at {path}:1 in <module>",
                id="missing library",
            ),
            pytest.param(
                "shop.wbe",
                "",
                "shop.wbe: ModuleNotFoundError: No module named 'shop.wbe'; name its parent directory with --path",
                id="missing module",
            ),
            pytest.param(
                "shop.web:app",
                "class App:\n    def __call__(self, environ, start_response): pass\napp = App()\n",
                "shop.web:app: it cannot be called without arguments (missing a required argument: 'environ'); "
                "to import it only, name the module: --preload shop.web",
                id="application",
            ),
            pytest.param(
                "shop.web:url",
                "url = ''\n",
                "shop.web:url: it cannot be called without arguments (it is of type str)",
                id="no callable",
            ),
            pytest.param("shop.web:main", "", "shop.web:main: AttributeError: module 'shop.web'", id="no attribute"),
        ],
    )
    def test_failure(self, shop: Shop, name: str, text: str, message: str) -> None:
        """A preload that fails says what failed and at which line, and exits with 1 before taking a job."""
        path = shop.write("web", text.replace("{{", "{"))
        job = shop.queue.enqueue("shop.tasks.where")
        worker = shop.run("--preload", name)
        assert worker.wait() == 1
        last = worker.text.splitlines()[-1]
        assert last.startswith("ullage worker: cannot preload ")
        assert message.format(path=path) in last
        assert (job.get_status(), shop.queue.job_ids) == ("queued", [job.id])
        assert not shop.redis.smembers(f"rq:workers:{shop.queue.name}")

    def test_bad_name(self, shop: Shop) -> None:
        """A name that can be no module's is one line, with status 2."""
        worker = shop.run("--preload", "shop/web.py")
        assert worker.wait() == 2
        assert worker.text == (
            "ullage worker: --preload='shop/web.py' is not allowed: it takes `module`, `module:callable` or `auto`, "
            "separated by commas, or none\n"
        )

    def test_connections(self, shop: Shop, mariadb: servers.MariaDB, mariadb_database: str) -> None:
        """An engine may be warmed by preloading: no horse shares its connection, and none idles in the worker."""
        shop.write(
            "db",
            f"""
            from sqlalchemy import create_engine, text
            engine = create_engine({mariadb_database!r})
            warmed = []
            def connection_id():
                with engine.connect() as connection:
                    return connection.execute(text("SELECT CONNECTION_ID()")).scalar()
            def warm():
                warmed.append(connection_id())
            def run():
                return [warmed[0], connection_id()]
            """,
        )
        jobs = [shop.queue.enqueue("shop.db.run") for _ in range(3)]
        last, key = shop.start_waiting_job()
        worker = shop.start("--preload", "shop.db:warm")
        shop.await_start(key)
        warmed, own = zip(*map(result, jobs), strict=True)
        assert len(set(warmed)) == 1
        assert len({*own, *warmed}) == 4
        database = mariadb_database.rpartition("/")[2].partition("?")[0]
        servers.wait_for(
            lambda: not re.search(rf"\b{database}\b", str(mariadb.execute("SHOW PROCESSLIST"))),
            what="the end of all connections",
        )
        shop.redis.rpush(f"{key}:go", 1)
        servers.wait_for(lambda: last.get_status(refresh=True) == "finished", what="the last job")
        assert worker.process.poll() is None


class TestHeartbeat:
    def beats(self, path: Path, count: int = 2) -> None:
        """Wait until the file has been touched that often from now on."""
        for _ in range(count):
            before = path.stat().st_mtime_ns
            servers.wait_for(lambda: path.stat().st_mtime_ns > before, 30, f"a touch of {path}")  # noqa: B023

    def start(self, shop: Shop, *arguments: str, **environ: str) -> tuple[Worker, Path]:
        """Start a worker that wakes up every second, and wait until it listens."""
        path = shop.directory / "heartbeat"
        worker = shop.start("--worker-ttl", "16", "--job-monitoring-interval", "1", *arguments, **environ)
        servers.wait_for(lambda: "Listening on" in worker.text, 30, "a worker that listens")
        return worker, path

    def test_idle(self, shop: Shop) -> None:
        """An idle worker touches its file."""
        _, path = self.start(shop, "--heartbeat-file", "heartbeat")
        self.beats(path)
        assert check(path).returncode == 0

    def test_busy(self, shop: Shop) -> None:
        """A worker whose horse is at work touches its file, set by the environment."""
        _, key = shop.start_waiting_job()
        _, path = self.start(shop, ULLAGE_HEARTBEAT_FILE="heartbeat")
        shop.await_start(key)
        self.beats(path)

    def test_suspended(self, shop: Shop) -> None:
        """A worker that `rq suspend` stopped touches its file."""
        shop.url = shop.url.removesuffix("/0") + "/1"  # suspension is for all workers of a database
        worker, path = self.start(shop, "--heartbeat-file", "heartbeat")
        with Redis.from_url(shop.url) as redis:
            suspension.suspend(redis, ttl=60)
            try:
                # RQ asks about suspension between jobs only.
                Queue(shop.queue.name, connection=redis).enqueue("shop.tasks.where")
                servers.wait_for(lambda: "suspended" in worker.text, 30, "a suspended worker")
                self.beats(path, 3)
            finally:
                suspension.resume(redis)

    def test_without_redis(self, shop: Shop) -> None:
        """A Redis that is away does not make the worker look dead."""
        with servers.Redis() as server:
            shop.url = server.url
            worker, path = self.start(shop, "--heartbeat-file", "heartbeat")
            server.stop()
            servers.wait_for(lambda: "ould not connect to Redis" in worker.text, 30, "a worker without Redis")
            self.beats(path)
            server.start()

    def test_simple_worker(self, shop: Shop) -> None:
        """A worker that runs jobs in its own process counts as alive until the job's timeout."""
        job, key = shop.start_waiting_job(job_timeout=3000)
        _, path = self.start(shop, "--heartbeat-file", "heartbeat", "-w", "rq.worker.SimpleWorker")
        shop.await_start(key)
        ahead = path.stat().st_mtime - time.time()
        assert 2900 < ahead < 3000
        assert all(done.returncode == 0 for done in (check(path), check_by_find(path), check_by_python(path)))
        shop.redis.rpush(f"{key}:go", 1)
        servers.wait_for(lambda: job.get_status(refresh=True) == "finished", what="the job's end")
        servers.wait_for(lambda: path.stat().st_mtime <= time.time(), what="a heartbeat after the job")

    def test_horse(self, shop: Shop) -> None:
        """A heartbeat that a work horse sends touches nothing: it says nothing about the worker."""
        shop.write(
            "workers",
            """
            import os
            from rq import Worker
            class Own(Worker):
                def main_work_horse(self, *args, **kwargs):
                    os.utime("heartbeat", (0, 0))
                    self.heartbeat()
                    print("touched at", os.stat("heartbeat").st_mtime, flush=True)
                    super().main_work_horse(*args, **kwargs)
            """,
        )
        shop.queue.enqueue("shop.tasks.where")
        worker = shop.run("--heartbeat-file", "heartbeat", "-w", "shop.workers.Own")
        assert "touched at 0.0\n" in worker.text

    def test_stuck(self, shop: Shop) -> None:
        """A worker that does not go on is found by the check, which says how long it has been silent."""
        worker, path = self.start(shop, "--heartbeat-file", "heartbeat")
        worker.process.send_signal(signal.SIGSTOP)
        servers.wait_for(lambda: check(path, "--max-age", "0.5").returncode == 1, 30, "a worker that counts as dead")
        assert re.fullmatch(
            rf"ullage worker: heartbeat file {re.escape(str(path))}: last touched \d+ s ago, more than 0.1 s\n",
            check(path, "--max-age", "0.1").stderr,
        )

    def test_taken_over(self, shop: Shop) -> None:
        """A file that a restarted container left is touched before the application is imported."""
        path = shop.directory / "heartbeat"
        path.touch()
        os.utime(path, (0, 0))
        shop.write("web", f"import os; print('age:', os.stat({str(path)!r}).st_mtime > 0)")
        assert "age: True" in shop.run("--heartbeat-file", str(path), "--preload", "shop.web").text

    def test_unwritable(self, shop: Shop) -> None:
        """A heartbeat file that cannot be written ends the command with status 2 and the reason."""
        worker = shop.run("--heartbeat-file", "none/heartbeat")
        assert worker.wait() == 2
        assert f"cannot write the heartbeat file {shop.directory}/none/heartbeat: No such file or directory" in (
            worker.text
        )

    def test_segment_directory(self, shop: Shop) -> None:
        """A heartbeat file among the segments is refused, as the sidecar would report it."""
        worker = shop.run("--heartbeat-file", "segments/heartbeat")
        assert worker.wait() == 2
        assert "is in the segment directory" in worker.text

    def test_lost_directory(self, shop: Shop) -> None:
        """A heartbeat file that can no longer be touched is one warning; the worker works on."""
        (shop.directory / "run").mkdir()
        worker, path = self.start(shop, "--heartbeat-file", "run/heartbeat")
        shutil.rmtree(shop.directory / "run")
        servers.wait_for(lambda: "cannot touch the heartbeat file" in worker.text, 30, "a warning")
        job = shop.queue.enqueue("shop.tasks.where")
        servers.wait_for(lambda: job.get_status(refresh=True) == "finished", 30, "a job")
        assert worker.text.count("cannot touch the heartbeat file") == 1
        assert not path.exists()


def check(path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `ullage worker --check-heartbeat`."""
    command = [*ULLAGE, "--check-heartbeat", str(path), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)


def documented(start: str, path: Path) -> list[str]:
    """Return the command of docs/worker.md that begins so, for another path."""
    [line] = [line for line in (ROOT / "docs" / "worker.md").read_text().splitlines() if line.startswith(start)]
    return shlex.split(line.replace("/dev/shm/worker", str(path)))


def check_by_python(path: Path) -> subprocess.CompletedProcess[bytes]:
    """Run the documented check for images with nothing but Python."""
    command = [sys.executable, *documented("python3 -S", path)[1:]]
    return subprocess.run(command, timeout=30, check=False)


def check_by_find(path: Path) -> subprocess.CompletedProcess[bytes]:
    """Run the documented check for images with a shell."""
    return subprocess.run(documented("sh -c", path), timeout=30, check=False)


class TestCheck:
    @pytest.mark.parametrize("run", [check, check_by_python, check_by_find], ids=["ullage", "python", "shell"])
    @pytest.mark.parametrize(("age", "status"), [(0, 0), (100, 0), (300, 1)])
    def test_age(self, tmp_path: Path, run: Callable[[Path], Any], age: float, status: int) -> None:
        """Every documented check tells a file of two minutes from an older one."""
        path = tmp_path / "heartbeat"
        path.touch()
        when = time.time() - age
        os.utime(path, (when, when))
        assert run(path).returncode == status

    @pytest.mark.parametrize("run", [check, check_by_python, check_by_find], ids=["ullage", "python", "shell"])
    def test_missing(self, tmp_path: Path, run: Callable[[Path], Any]) -> None:
        """A file that is not there is a failure."""
        assert run(tmp_path / "heartbeat").returncode == 1

    def test_missing_is_explained(self, tmp_path: Path) -> None:
        """The check says which file it did not find."""
        path = tmp_path / "heartbeat"
        assert check(path).stderr == (
            f"ullage worker: heartbeat file {path}: No such file or directory; is it the worker's --heartbeat-file?\n"
        )

    def test_is_cheap(self, tmp_path: Path) -> None:
        """The check loads neither RQ nor anything else that a worker needs."""
        path = tmp_path / "heartbeat"
        path.touch()
        code = (
            "import sys; from ullage.cli import main; main(['worker', '--check-heartbeat', sys.argv[1]]);"
            "print(sorted({'rq', 'redis', 'click', 'sqlalchemy'} & set(sys.modules)))"
        )
        done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
        assert done.stdout == "[]\n"

    def test_max_age_alone(self, shop: Shop) -> None:
        """--max-age without --check-heartbeat is refused rather than ignored."""
        worker = shop.run("--max-age", "60")
        assert worker.wait() == 2
        assert "--max-age belongs to --check-heartbeat PATH" in worker.text


class TestStop:
    def test_warm_shutdown(self, shop: Shop) -> None:
        """On SIGTERM a running job is finished, then the worker exits with 0 and takes no other."""
        job, key = shop.start_waiting_job()
        later = shop.queue.enqueue("shop.tasks.where")
        worker = shop.start()
        shop.await_start(key)
        worker.process.send_signal(signal.SIGTERM)
        servers.wait_for(lambda: "warm shut down" in worker.text.lower(), 30, "a warm shutdown")
        shop.redis.rpush(f"{key}:go", 1)
        assert worker.wait() == 0, worker.text
        assert result(job) == "done"
        assert later.get_status(refresh=True) == "queued"

    def test_while_preloading(self, shop: Shop) -> None:
        """On SIGTERM before the first job the worker exits with 0, even from the middle of an import."""
        shop.write("slow", "import os, signal\nprint('importing', flush=True)\nsignal.pause()\n")
        worker = shop.start("--preload", "shop.slow")
        servers.wait_for(lambda: "importing" in worker.text, 30, "an import")
        worker.process.send_signal(signal.SIGTERM)
        assert worker.wait() == 0
        assert "cannot preload" not in worker.text

    @pytest.mark.parametrize("when", ["preloading", "idle", "busy"])
    def test_as_pid_1(self, shop: Shop, when: str) -> None:
        """As a container's first process, for which SIGTERM does nothing by default, the worker stops as well."""
        key = shop.start_waiting_job()[1] if when == "busy" else ""
        shop.write("slow", "import signal\nprint('importing', flush=True)\nsignal.pause()\n")
        command = [*in_pid_namespace(), *ULLAGE]
        worker = shop.start(*(["--preload", "shop.slow"] if when == "preloading" else []), command=command)
        servers.wait_for(lambda: ("importing" if when == "preloading" else "Listening on") in worker.text, 30, when)
        if key:
            shop.await_start(key)
        os.kill(child_of(worker.process.pid), signal.SIGTERM)
        if key:
            servers.wait_for(lambda: "warm shut down" in worker.text.lower(), 30, "a warm shutdown")
            shop.redis.rpush(f"{key}:go", 1)
        assert worker.wait() == 0, worker.text


def in_pid_namespace() -> list[str]:
    """Return a command that runs another as process 1, or skip where the kernel does not let us."""
    command = ["unshare", "--pid", "--fork", "--kill-child"]
    if subprocess.run([*command, "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("no pid namespaces here: run the tests as root, or with CAP_SYS_ADMIN")
    return command


def child_of(pid: int) -> int:
    """Return the only child of a process."""
    return int(Path(f"/proc/{pid}/task/{pid}/children").read_text())


class TestSettings:
    def test_defaults(self) -> None:
        """By default the waiting jobs tell what to preload, and there is no heartbeat file."""
        settings = worker_settings({})
        assert (settings.preload, settings.heartbeat_file) == (("auto",), None)

    @pytest.mark.parametrize(
        ("value", "expected"),
        [
            ("none", ()),
            ("shop.web", ("shop.web",)),
            ("shop.web:create_app, auto", ("shop.web:create_app", "auto")),
            ("shop.web:create_app(),shop:App.open", ("shop.web:create_app()", "shop:App.open")),
        ],
    )
    def test_preload(self, value: str, expected: tuple[str, ...]) -> None:
        """Modules, callables and `auto` may be listed; `none` is the empty list."""
        assert worker_settings({"ULLAGE_PRELOAD": value}).preload == expected

    @pytest.mark.parametrize("value", ["shop/web.py", "shop.", ":create_app", "shop:app(1)", "shop,,tasks"])
    def test_refused(self, value: str) -> None:
        """Anything else is refused with the setting's name."""
        with pytest.raises(SettingError, match="ULLAGE_PRELOAD"):
            worker_settings({"ULLAGE_PRELOAD": value})

    def test_flags_win(self) -> None:
        """An option overrides the environment."""
        environ: Mapping[str, str] = {"ULLAGE_PRELOAD": "a", "ULLAGE_HEARTBEAT_FILE": "/a"}
        settings = worker_settings(environ, {"ULLAGE_PRELOAD": "b", "ULLAGE_HEARTBEAT_FILE": "/b"})
        assert (settings.preload, settings.heartbeat_file) == (("b",), Path("/b"))
