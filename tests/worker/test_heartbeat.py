"""The worker's heartbeat file, and every documented way to check it."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from rq import Queue, suspension

from tests import servers
from tests.worker.shop import ROOT, ULLAGE, Shop, Worker


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
