"""`ullage worker`'s options beside RQ's, and what it does without RQ."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
import rq

from tests.worker.shop import ULLAGE, Shop, result
from ullage.worker.command import RQ_DEFAULTS


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
