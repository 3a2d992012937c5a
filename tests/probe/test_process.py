"""The segment of a process through forks, failures and being switched off."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import ullage
from tests.probe.conftest import Measured
from tests.test_segment import read
from ullage import metrics as m
from ullage.probe.process import Probe, Process
from ullage.segment import layout as at
from ullage.settings import probe_settings

USE_A_POOL = """
import logging, sys, ullage
logging.basicConfig(format="%(levelname)s %(message)s")
print("installed", ullage.install())
from sqlalchemy import create_engine, text
engine = create_engine("sqlite://")
for _ in range(3):
    with engine.connect() as connection:
        print("answer", connection.execute(text("SELECT 42")).scalar())
"""


def run(code: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run a program of its own with these settings."""
    return subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **environ}, capture_output=True, text=True, check=True
    )


def in_child(work: Callable[[], None]) -> None:
    """Run in a forked child that ends in os._exit, as RQ's work horses do."""
    pid = os.fork()
    if pid == 0:
        try:
            work()
        finally:
            os._exit(0)
    os.waitpid(pid, 0)


class TestForks:
    """Each process writes a segment of its own."""

    def test_a_child_claims_its_own_and_the_parent_keeps_its(self, measured):
        """Parent and child count into different files, and the sum is right."""
        counter = measured.process.writer.counter(m.POOL_CHECKOUTS, "a")
        measured.process.writer.words[counter] += 1.0

        def work() -> None:
            writer = measured.process.writer
            writer.words[writer.counter(m.POOL_CHECKOUTS, "a")] += 10.0

        in_child(work)
        measured.process.writer.words[counter] += 1.0
        assert measured.value("sqlalchemy_pool_checkouts_total", engine="a") == 12
        assert len(list(measured.directory.iterdir())) == 2

    def test_children_one_after_another_share_one_file(self, measured):
        """A hundred work horses leave one file beside their parent's, found by its name and not by a search."""

        def work() -> None:
            writer = measured.process.writer
            writer.words[writer.counter(m.POOL_CHECKOUTS, "a")] += 1.0

        for _ in range(100):
            in_child(work)
        assert measured.value("sqlalchemy_pool_checkouts_total", engine="a") == 100
        assert len(list(measured.directory.iterdir())) == 2
        assert (measured.directory / measured.process.hint.get()).exists()

    def test_the_parents_life_is_not_prolonged_by_its_child(self, tmp_path):
        """A child that outlives its parent does not hold the parent's lock."""
        code = """
import os, sys, ullage
ullage.install()
reader, writer = os.pipe()
if os.fork() == 0:
    os.write(writer, b"x")
    os.close(1); os.close(2)
    sys.stdin.read()
    os._exit(0)
os.read(reader, 1)
os._exit(0)
"""
        with subprocess.Popen(
            [sys.executable, "-c", code],
            env={**os.environ, "ULLAGE_DIR": str(tmp_path)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        ) as parent:
            assert parent.stdout is not None
            parent.stdout.read()
            assert sorted(read(path).is_live for path in tmp_path.iterdir()) == [False, True]

    def test_a_child_has_none_of_its_parents_checkouts(self, measured, tmp_path):
        """Connections that the parent holds are the parent's alone."""
        sqlalchemy = pytest.importorskip("sqlalchemy")
        engine = sqlalchemy.create_engine(f"sqlite:///{tmp_path}/x.db", pool_logging_name="a")
        with engine.connect():
            in_child(lambda: None)
            assert measured.value("ullage_leaks_total", kind="died_with_process") == 0
            assert measured.by("sqlalchemy_unreleased_sessions", "engine") == {}


class TestWithoutASegment:
    """The application runs, whatever is wrong."""

    @pytest.mark.parametrize(
        "directory",
        [
            pytest.param(lambda tmp_path: tmp_path / "gone", id="missing"),
            pytest.param(lambda tmp_path: Path("/proc/self"), id="read-only"),
            pytest.param(lambda tmp_path: Path("/dev/null"), id="no-directory"),
        ],
    )
    def test_a_bad_directory_costs_one_log_line(self, tmp_path, directory):
        """Missing, read-only or no directory at all: one warning, and every query is answered."""
        done = run(USE_A_POOL, ULLAGE_DIR=str(directory(tmp_path)))
        assert done.stdout.count("answer 42") == 3
        assert done.stderr.count("\n") == 1
        assert "ullage is off in process" in done.stderr
        assert "set ULLAGE_DIR" in done.stderr

    def test_a_full_directory_costs_one_log_line(self, tmp_path):
        """No space left for a segment: born whole or not at all, so no SIGBUS later."""
        mount = tmp_path / "small"
        mount.mkdir()
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(mount)], check=False).returncode:
            pytest.skip("mounting a small tmpfs needs root; run the tests as root to include this one")
        try:
            done = run(USE_A_POOL, ULLAGE_DIR=str(mount))
        finally:
            left = list(mount.iterdir())
            subprocess.run(["umount", str(mount)], check=True)
        assert done.stdout.count("answer 42") == 3
        assert done.stderr.count("\n") == 1
        assert "No space left on device" in done.stderr
        assert left == []

    def test_a_bad_setting_is_said_and_the_default_used(self, tmp_path):
        """A typo in the environment must not keep an application from starting."""
        done = run(USE_A_POOL, ULLAGE_DIR=str(tmp_path), ULLAGE_LEAK_THRESHOLD_SECONDS="soon")
        assert "installed True" in done.stdout
        assert "ULLAGE_LEAK_THRESHOLD_SECONDS='soon'" in done.stderr
        (path,) = tmp_path.iterdir()
        assert read(path).header[at.THRESHOLD] == 60

    def test_switched_off_nothing_is_touched(self, tmp_path):
        """ULLAGE_ENABLED=0: no file, no wrap, no line."""
        code = USE_A_POOL + "from sqlalchemy.pool import Pool; print(Pool.connect.__module__)"
        done = run(code, ULLAGE_DIR=str(tmp_path), ULLAGE_ENABLED="0")
        assert "installed False" in done.stdout
        assert "sqlalchemy.pool.base" in done.stdout
        assert done.stderr == ""
        assert list(tmp_path.iterdir()) == []

    def test_without_sqlalchemy_there_is_nothing_to_measure_and_no_error(self, tmp_path):
        """An interpreter that lacks the libraries is left alone."""
        code = "import sys; sys.modules['sqlalchemy'] = None; import ullage; print(ullage.install())"
        assert run(code, ULLAGE_DIR=str(tmp_path)).stdout == "True\n"


class TestForeignExceptions:
    """A guard must not swallow what is not its own."""

    def test_an_exception_of_a_signal_handler_goes_on(self, measured: Measured):
        """Raised by code of another file, it is raised again and the probe stays up."""

        class JobTimeoutError(Exception):
            pass

        def handler() -> None:
            raise JobTimeoutError

        with pytest.raises(JobTimeoutError):
            guard(measured.process, handler)
        assert not measured.process.probes["pool"].failed

    def test_a_builtin_exception_from_other_code_goes_on(self, measured: Measured):
        """A signal handler may raise a plain TimeoutError."""

        def handler() -> None:
            raise TimeoutError

        with pytest.raises(TimeoutError):
            guard(measured.process, handler)

    def test_an_error_of_the_probe_is_swallowed_and_said_once(self, tmp_path, caplog):
        """Our own bug is logged once; the probe is silenced."""
        process = Process(probe_settings({"ULLAGE_DIR": str(tmp_path)}))
        silenced = []
        process.add(Probe("x", lambda: None, lambda: silenced.append(1)))
        for _ in range(2):
            try:
                process.writer.counter(None)  # type: ignore[arg-type]
            except AttributeError as error:
                process.swallow("x", error)
        assert silenced == [1]
        assert len(caplog.records) == 1


def guard(process: Process, work: Callable[[], None]) -> None:
    """Run as a probe would."""
    try:
        work()
    except BaseException as error:  # noqa: BLE001 - as in the probes
        process.swallow("pool", error)


def test_install_may_be_called_again(measured):
    """A second install by another route changes nothing."""
    assert ullage.install()
    assert ullage.install()
