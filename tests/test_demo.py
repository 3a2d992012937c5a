"""`make demo`, which the README's readers run first."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.servers import wait_for

DEMO = (sys.executable, "-m", "tests.demo")


class TestDemo:
    def test_sqlite(self) -> None:
        """On SQLite the demo exits 0 after it has shown the checkouts of web and worker."""
        result = subprocess.run([*DEMO, "--once"], capture_output=True, text=True, timeout=120, check=False)
        assert result.returncode == 0, result.stdout + result.stderr
        for role in ("web", "worker"):
            assert re.search(rf'sqlalchemy_pool_checkouts_total{{.*role="{role}".*}} [1-9]', result.stdout)

    @pytest.mark.usefixtures("mariadb")
    def test_mariadb(self) -> None:
        """On MariaDB every request succeeds while connections are killed, and the retries are counted."""
        result = subprocess.run(
            [*DEMO, "--db", "mariadb", "--once"], capture_output=True, text=True, timeout=180, check=False
        )
        assert result.returncode == 0, result.stdout + result.stderr
        assert re.search(r'sqlalchemy_pool_stale_connection_retries_total{.*outcome="success".*} [1-9]', result.stdout)

    def test_ctrl_c_ends_everything(self) -> None:
        """Ctrl-C ends every process that the demo started and removes its directory."""
        demo = psutil.Popen([*DEMO], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        with demo:
            output = []
            for line in demo.stdout:
                output.append(line.decode())
                if "until Ctrl-C" in output[-1]:
                    break
            started = demo.children(recursive=True)
            demo.send_signal(signal.SIGINT)
            assert demo.wait(60) == 0, "".join(output)
        assert len(started) >= 5
        wait_for(lambda: not any(process.is_running() for process in started), what="the end of the demo's processes")
        directory = re.search(r"segments and logs +(\S+)", "".join(output))
        assert directory
        assert not Path(directory[1]).exists()
