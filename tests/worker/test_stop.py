"""How the worker ends on SIGTERM: before its first job, idle, at work, and as a container's first process."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests import servers
from tests.worker.shop import ULLAGE, Shop, result


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
