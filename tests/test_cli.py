"""The command line, as a person types it."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

import ullage
from ullage.cli import main

ULLAGE = [sys.executable, "-m", "ullage"]


def run(*arguments: str, environ: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run `ullage` to its end."""
    return subprocess.run(
        [*ULLAGE, *arguments], env=_environ(environ), capture_output=True, text=True, timeout=30, check=False
    )


def _environ(more: Mapping[str, str] | None) -> dict[str, str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("ULLAGE_")}
    return clean | dict(more or {})


@dataclass
class Sidecar:
    """A running `ullage serve`."""

    process: subprocess.Popen[str]
    url: str
    lines: list[str]


StartSidecar = Callable[..., Sidecar]


@pytest.fixture
def start_sidecar() -> Iterator[StartSidecar]:
    """Give a function that starts `ullage serve` on a free loopback port and waits until it listens."""
    with ExitStack() as started:

        def start(*arguments: str, environ: Mapping[str, str] | None = None) -> Sidecar:
            command = [*ULLAGE, "serve", "--listen-address", "127.0.0.1", "--port", "0", *arguments]
            process = started.enter_context(
                subprocess.Popen(command, env=_environ(environ), stderr=subprocess.PIPE, text=True)
            )
            started.callback(_kill, process)
            lines: list[str] = []
            for line in process.stderr or ():
                lines.append(line.rstrip("\n"))
                if found := re.search(r" listens on (\S+) and reads ", line):
                    return Sidecar(process, found[1], lines)
            raise AssertionError(f"ullage serve ended: {lines}")

        yield start


def _kill(process: subprocess.Popen[str]) -> None:
    with suppress(ProcessLookupError):
        process.kill()


class TestHelp:
    def test_version(self) -> None:
        """--version prints name and version."""
        assert run("--version").stdout == f"ullage {ullage.__version__}\n"

    def test_help(self, capsys: pytest.CaptureFixture[str]) -> None:
        """--help lists the commands and shows examples."""
        with pytest.raises(SystemExit, match="0"):
            main(["--help"])
        text = capsys.readouterr().out
        commands = " ".join(text.split())
        assert " serve serve /metrics from the segments that the application writes " in commands
        assert " observe serve queues and the connection budget, and write Events on leaking pods;" in commands
        assert " dump print segments for people " in commands
        assert "\n  ullage serve --dir /run/ullage --port 9145\n" in text

    def test_serve_help(self, capsys: pytest.CaptureFixture[str]) -> None:
        """`serve --help` gives each flag with its variable and default."""
        with pytest.raises(SystemExit, match="0"):
            main(["serve", "--help"])
        text = " ".join(capsys.readouterr().out.split())
        assert "--port PORT The port to listen on; 0 takes any free one." in text
        assert "ULLAGE_PORT in the environment; default 9145)" in text

    def test_no_command(self, capsys: pytest.CaptureFixture[str]) -> None:
        """Without a command the help is printed, and the status is 2."""
        assert main([]) == 2
        assert "commands:" in capsys.readouterr().err

    def test_unknown_command(self, capsys: pytest.CaptureFixture[str]) -> None:
        """An unknown command names those that there are."""
        with pytest.raises(SystemExit, match="2"):
            main(["sevre"])
        text = capsys.readouterr().err
        assert "serve" in text
        assert "dump" in text


class TestBadSettings:
    def test_environment(self) -> None:
        """A bad variable is one line with its name, the value and what is allowed; the status is 2."""
        result = run("serve", environ={"ULLAGE_PORT": "http"})
        assert (result.returncode, result.stderr) == (
            2,
            "ullage serve: ULLAGE_PORT='http' is not allowed: it takes an integer from 0 to 65535\n",
        )

    def test_flag(self) -> None:
        """A bad flag is one line that names the flag."""
        result = run("serve", "--log-level", "loud")
        assert (result.returncode, result.stderr) == (
            2,
            "ullage serve: --log-level='loud' is not allowed: it takes debug, info, warning or error\n",
        )

    def test_port_in_use(self) -> None:
        """A port that is taken is one line, with status 2."""
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = str(taken.getsockname()[1])
            result = run("serve", "--listen-address", "127.0.0.1", "--port", port)
        assert result.returncode == 2
        assert result.stderr == (
            f"ullage serve: cannot listen on 127.0.0.1 port {port}: Address already in use; stop what listens "
            "there (`ss -ltnp` names it), or set another --port or ULLAGE_PORT\n"
        )

    def test_unreadable_tls_key(self, tmp_path: Path) -> None:
        """A TLS key that cannot be read is one line, with status 2."""
        path = tmp_path / "web.yml"
        path.write_text("tls_server_config:\n  cert_file: web.yml\n  key_file: none.key\n")
        result = run("serve", "--port", "0", environ={"ULLAGE_WEB_CONFIG_FILE": str(path)})
        assert result.returncode == 2
        assert result.stderr == (
            f"ullage serve: web configuration file {path}: cannot read {tmp_path}/none.key: "
            f"No such file or directory; it must exist and be readable for uid {os.geteuid()}\n"
        )

    @pytest.mark.parametrize("package", ["prometheus_client", "yaml", "bcrypt"])
    def test_missing_extra(self, tmp_path: Path, package: str) -> None:
        """Without the exporter's packages the command that installs them is named."""
        hash_of_nothing = "$2b$04$" + "a" * 53
        (tmp_path / "web.yml").write_text(f"basic_auth_users: {{alice: '{hash_of_nothing}'}}\n")
        code = f"import sys; sys.modules[{package!r}] = None; from ullage.cli import main; sys.exit(main())"
        result = subprocess.run(
            [sys.executable, "-c", code, "serve", "--port", "0", "--web-config-file", str(tmp_path / "web.yml")],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert (result.returncode, result.stderr) == (
            2,
            f"ullage serve: the Python package {package} is missing; run: pip install 'ullage[exporter]'\n",
        )


class TestServe:
    def test_scrape(self, tmp_path: Path, start_sidecar: StartSidecar) -> None:
        """`ullage serve` answers every page from an empty segment directory."""
        sidecar = start_sidecar("--dir", str(tmp_path))
        metrics = httpx.get(f"{sidecar.url}metrics").text
        assert "\nullage_up 1.0\n" in metrics
        assert "\nprocess_resident_memory_bytes " in metrics
        assert httpx.get(f"{sidecar.url}leaks").json() == {"leaks": []}
        assert httpx.get(f"{sidecar.url}healthz").text == "ok\n"
        assert str(tmp_path) in httpx.get(sidecar.url).text
        assert len(sidecar.lines) == 1

    def test_missing_directory(self, tmp_path: Path, start_sidecar: StartSidecar) -> None:
        """Without its directory the sidecar warns in one line, serves ullage_up 0, and recovers when it appears."""
        directory = tmp_path / "later"
        sidecar = start_sidecar(environ={"ULLAGE_DIR": str(directory)})
        assert [line.split(" ", 2)[2] for line in sidecar.lines[:-1]] == [
            f"WARNING no segment directory at {directory} yet; it is looked for at each scrape"
        ]
        assert "\nullage_up 0.0\n" in httpx.get(f"{sidecar.url}metrics").text
        directory.mkdir()
        assert "\nullage_up 1.0\n" in httpx.get(f"{sidecar.url}metrics").text

    def test_garbage_segment(self, tmp_path: Path, start_sidecar: StartSidecar) -> None:
        """A file that is no segment is counted, and fails neither a scrape nor another page."""
        (tmp_path / "notes.txt").write_bytes(os.urandom(4096))
        (tmp_path / "x.seg").write_bytes(os.urandom(4096))
        sidecar = start_sidecar("--dir", str(tmp_path))
        assert 'ullage_unreadable_segments{reason="' in httpx.get(f"{sidecar.url}metrics").text
        assert all(httpx.get(f"{sidecar.url}{path}").status_code == 200 for path in ("", "leaks"))

    @pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT], ids=lambda stop: stop.name)
    def test_stop(self, tmp_path: Path, start_sidecar: StartSidecar, stop: signal.Signals) -> None:
        """SIGTERM and SIGINT end the sidecar within a second, with status 0, even with an idle client."""
        sidecar = start_sidecar("--dir", str(tmp_path))
        port = int(sidecar.url.rstrip("/").rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port)):
            started = time.monotonic()
            sidecar.process.send_signal(stop)
            assert sidecar.process.wait(10) == 0
            assert time.monotonic() - started < 1.0
        assert sidecar.process.stderr is not None
        assert sidecar.process.stderr.read().endswith(f" INFO stopping on {stop.name}\n")

    def test_small(self, tmp_path: Path, start_sidecar: StartSidecar) -> None:
        """The sidecar keeps to its memory: 30 MB after scrapes."""
        sidecar = start_sidecar("--dir", str(tmp_path))
        for _ in range(20):
            assert httpx.get(f"{sidecar.url}metrics", headers={"Accept-Encoding": "gzip"}).status_code == 200
        status = Path(f"/proc/{sidecar.process.pid}/status").read_text()
        [kilobytes] = re.findall(r"^VmRSS:\s+(\d+) kB$", status, re.MULTILINE)
        assert int(kilobytes) * 1024 <= 30e6


class TestDump:
    def test_empty_directory(self, tmp_path: Path) -> None:
        """`ullage dump` of a directory without segments says so, with status 1."""
        result = run("dump", str(tmp_path))
        assert result.returncode == 1
        assert str(tmp_path) in result.stderr
