"""One server process: started, waited for, and ended together with everything that it wrote."""

from __future__ import annotations

import atexit
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ClassVar, TypeVar

if os.name == "posix":
    import pwd

T = TypeVar("T")
S = TypeVar("S", bound="Server")

POLL_SECONDS = 0.02
LOG_TAIL_LINES = 50
# Below the kernel's range for outgoing connections: none of those can take the port before the server does.
PORTS = range(20_000, 32_000)


class ServerError(RuntimeError):
    """A server did not start or did not answer; the message ends with its log's tail."""


class MissingComponentError(ServerError):
    """A program is not installed; the message has the command that installs it."""


def wait_for(
    predicate: Callable[[], T], timeout: float = 10.0, what: str = "the condition", interval: float = POLL_SECONDS
) -> T:
    """Return the predicate's first true value, or raise TimeoutError naming what was waited for."""
    deadline = time.monotonic() + timeout
    while True:
        value = predicate()
        if value:
            return value
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {timeout:g} s; the last value was {value!r}")
        time.sleep(interval)


def is_free(port: int) -> bool:
    """Say whether a server could listen on the loopback port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def free_port() -> int:
    """Return a loopback port that nothing listens on."""
    port = random.choice(PORTS)
    while not is_free(port):
        port = random.choice(PORTS)
    return port


def find_program(name: str, package: str, also_in: Sequence[str | Path] = ()) -> str:
    """Return the program's path, looking where Debian keeps servers too."""
    path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/bin", *map(str, also_in)])
    found = shutil.which(name, path=path)
    if found is None:
        raise MissingComponentError(f"{name} is not installed; get it by: sudo apt-get install {package}")
    return found


def owned_command(command: Sequence[str], user: str | None = None, death_signal: str = "TERM") -> list[str]:
    """Return the command so wrapped that the kernel ends it with the thread that starts it; `user` runs it.

    setpriv, not a preexec_fn: a change of user clears the death signal, and setpriv sets it after that.
    """
    identity = ["--reuid", user, "--regid", user, "--init-groups"] if user else []
    return ["setpriv", *identity, "--pdeathsig", death_signal, "--", *command]


def end_process(process: subprocess.Popen[bytes], stop_signal: int, timeout: float) -> int:
    """Ask the process to stop, insist after the timeout, and return its exit status."""
    if process.poll() is None:
        process.send_signal(stop_signal)
    try:
        return process.wait(timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


class Server(ABC):
    """A server that a `with` block owns."""

    name: ClassVar[str]
    stop_signal: ClassVar[int] = signal.SIGTERM
    # The account to run as when the tests run as root, for servers that refuse root.
    account: ClassVar[str | None] = None
    start_timeout_seconds: ClassVar[float] = 60.0

    def __init__(self) -> None:
        self.port = 0
        self.process: subprocess.Popen[bytes] | None = None
        self._directory: Path | None = None

    @abstractmethod
    def command(self) -> list[str]:
        """Return the program and its arguments."""

    @abstractmethod
    def is_ready(self) -> bool:
        """Say whether the server answers."""

    def prepare(self) -> None:  # noqa: B027 - optional
        """Make the server's files. Called once, in a new directory."""

    def populate(self) -> None:  # noqa: B027 - optional
        """Make the server's contents. Called once, when it answers for the first time."""

    @property
    def directory(self) -> Path:
        """The server's own directory, there from the first start until close()."""
        if self._directory is None:
            raise ServerError(f"{self.name} has no directory: it was not started yet, or was closed")
        return self._directory

    @property
    def log_path(self) -> Path:
        """What the server printed."""
        return self.directory / "server.log"

    @property
    def user(self) -> str | None:
        """The account to switch to, if any."""
        return self.account if os.geteuid() == 0 else None

    def start(self) -> None:
        """Start the server and wait until it answers."""
        is_first = self._directory is None
        try:
            if is_first:
                self._make_directory()
                self.prepare()
                self.port = free_port()
            self._launch()
            if is_first:
                self.populate()
        except BaseException:
            self.close()
            raise

    def stop(self) -> None:
        """Shut the server down in good order; start() brings it back with the same port and contents."""
        self._end(self.stop_signal, timeout=20)

    def restart(self) -> None:
        """Stop and start."""
        self.stop()
        self.start()

    def close(self) -> None:
        """End the process and remove the directory."""
        atexit.unregister(self.close)
        self._end(signal.SIGKILL, timeout=20)
        if self._directory is not None:
            shutil.rmtree(self._directory, ignore_errors=True)
            self._directory = None

    def __enter__(self: S) -> S:
        self.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def run(self, command: Sequence[str]) -> None:
        """Run a preparing command to its end, as the server's account."""
        result = subprocess.run(
            owned_command(command, self.user),
            cwd=self.directory,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=self.start_timeout_seconds,
            check=False,
        )
        if result.returncode != 0:
            tail = "\n".join(result.stdout.decode(errors="replace").splitlines()[-LOG_TAIL_LINES:])
            raise ServerError(f"{Path(command[0]).name} ended with status {result.returncode}:\n{tail}")

    def log_tail(self) -> str:
        """Return the last lines that the server printed."""
        text = self.log_path.read_text(errors="replace") if self.log_path.exists() else ""
        return "\n".join(text.splitlines()[-LOG_TAIL_LINES:])

    def _make_directory(self) -> None:
        self._directory = Path(tempfile.mkdtemp(prefix=f"ullage-{self.name}-"))
        atexit.register(self.close)
        if self.user is not None:
            account = pwd.getpwnam(self.user)
            os.chown(self._directory, account.pw_uid, account.pw_gid)

    def _launch(self) -> None:
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                owned_command(self.command(), self.user),
                cwd=self.directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is for whoever owns the server
            )
        deadline = time.monotonic() + self.start_timeout_seconds
        while not self.is_ready():
            status = self.process.poll()
            if status is not None:
                raise ServerError(f"{self.name} ended with status {status} at its start:\n{self.log_tail()}")
            if time.monotonic() > deadline:
                raise ServerError(
                    f"{self.name} did not answer on port {self.port} within "
                    f"{self.start_timeout_seconds:g} s:\n{self.log_tail()}"
                )
            time.sleep(POLL_SECONDS)

    def _end(self, stop_signal: int, timeout: float) -> None:
        if self.process is not None:
            end_process(self.process, stop_signal, timeout)
            self.process = None
