"""Processes that were started with injection and got nothing: each is named with the reason and the next step."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from tests.doctor.conftest import Pod
from ullage.doctor import Report
from ullage.doctor.finding import Finding
from ullage.doctor.injection import attempt, examine
from ullage.doctor.startup import Startup
from ullage.inject.copying import copy

PROGRAM = """
import pathlib, signal, sqlalchemy
with sqlalchemy.create_engine("sqlite://").connect():
    pathlib.Path("ready").touch()
    signal.pause()
"""


def run(pod: Pod, wait_for, *command: str, **environ: str) -> None:
    """Start a program that uses SQLAlchemy, and wait until it does."""
    pod.start_plain(*command, "-c", PROGRAM, **environ)
    wait_for((pod.work / "ready").exists, 30, "the program")


def said(findings: list[Finding], check: str, *marks: str) -> list[str]:
    """Return what was found of one check, without mark and check."""
    return [found.line()[17:] for found in findings if found.check == check and (not marks or found.mark in marks)]


def tried(pod: Pod, *path: Path | str, flags: tuple[str, ...] = (), **environ: str) -> list[Finding]:
    """Return what is said of a Python that is started with the volume on its path, and these directories."""
    entries = os.pathsep.join(map(str, (pod.volume / "site", *path)))
    environment = pod.environment(PYTHONPATH=entries, **environ)
    return list(examine(attempt(Startup("it", str(pod.python), flags, environment, str(pod.work)))))


@pytest.fixture
def own_volume(pod: Pod) -> Path:
    """Give a volume that the test may damage."""
    pod.volume = pod.work / "volume"
    copy(pod.volume)
    return pod.volume


class TestProcesses:
    """A running process that is not measured."""

    @pytest.mark.parametrize(
        ("flag", "reason"),
        [
            ("-I", "python -I ignores PYTHONPATH; start it without -I, or use ullage.install()"),
            ("-sE", "python -E ignores PYTHONPATH; start it without -E, or use ullage.install()"),
        ],
    )
    def test_flags(self, pod, wait_for, flag, reason):
        """A flag that keeps Python from finding the sitecustomize."""
        run(pod, wait_for, str(pod.python), flag, PYTHONPATH=str(pod.volume / "site"))
        report = Report(pod.environment())
        (process,) = report.processes
        (line,) = said(report.findings, "processes")
        assert line.startswith(f"{process.name} is not measured: {reason}")
        assert process.name.startswith(f"pid {process.pid} (python {flag} -c import pathlib, signal, ")
        assert said(report.findings, "injection", "fail")[0].startswith(reason)

    def test_an_entry_point_that_sets_its_own_path(self, pod, wait_for):
        """An image's entry point replaced PYTHONPATH: what it is, and how to keep both."""
        run(pod, wait_for, str(pod.python), PYTHONPATH="/app")
        found = pod.ask()
        assert found.status == 1
        reason = (
            f"PYTHONPATH='/app' does not lead to {pod.volume}/site; start it by {pod.volume}/ullage-run COMMAND, or "
        )
        assert reason in found.said("injection", "fail")
        assert reason in found.said("processes", "fail")

    def test_a_volume_that_is_not_there(self, pod, wait_for):
        """PYTHONPATH leads to a volume that was not mounted, or that no init container filled."""
        run(pod, wait_for, str(pod.python), PYTHONPATH="/nowhere/ullage/site")
        (line,) = said(Report(pod.environment()).findings, "processes")
        assert (
            " is not measured: PYTHONPATH leads to /nowhere/ullage/site, which is not there; mount the volume " in line
        )

    def test_switched_off(self, pod, wait_for):
        """ULLAGE_ENABLED=0 is said as what it is, with exit status 1, and no probe is tried."""
        run(pod, wait_for, str(pod.python), PYTHONPATH=str(pod.volume / "site"), ULLAGE_ENABLED="0")
        found = pod.ask()
        assert found.status == 1
        assert found.said("settings", "fail").startswith("ULLAGE_ENABLED=0: nothing is measured; take it out, ")
        assert ", switched off: ULLAGE_ENABLED=0" in found.said("injection", "ok")
        assert found.said("probes") == ""

    def test_a_segment_that_could_not_be_had(self, pod, wait_for):
        """A process that found no directory when it started is named, although all is right by now."""
        pod.segments.rmdir()
        run(pod, wait_for, str(pod.volume / "ullage-run"), str(pod.python))
        pod.segments.mkdir()
        report = Report(pod.environment())
        (line,) = said(report.findings, "processes", "fail")
        assert " uses SQLAlchemy and is not measured; its log has a line that says why; restart it " in line
        assert said(report.findings, "probes") == ["install: pool, flask, rq, session"]

    def test_no_password_is_shown(self, pod, wait_for):
        """A command line with a password in a URL is shown without it."""
        url = "--url=redis://user:pass/wo@rd@redis:6379/0"
        pod.start_plain(str(pod.python), "-c", PROGRAM, url, PYTHONPATH="")
        wait_for((pod.work / "ready").exists, 30, "the program")
        report = Report(pod.environment())
        assert [process.command.rpartition(" ")[2] for process in report.processes] == [
            "--url=redis://***@redis:6379/0"
        ]
        assert "pass" not in str(report.as_json())


class TestStart:
    """What a Python says that is started so."""

    def test_a_flag_that_runs_no_sitecustomize(self, pod):
        """-S, which also keeps an environment's libraries from being found."""
        findings = tried(pod, flags=("S",))
        assert said(findings, "injection", "fail")[0].startswith("python -S runs no sitecustomize; start it without -S")

    @pytest.mark.parametrize(
        ("text", "reason", "step"),
        [
            pytest.param("this is no Python", "SyntaxError: ", "copy the package into the volume again", id="damaged"),
            pytest.param("OLDEST = (99, 0)", "it needs CPython 3.10 or later", "use an image with it", id="old Python"),
        ],
    )
    def test_a_hook_that_does_nothing(self, pod, own_volume, text, reason, step):
        """What sitecustomize noted down as its reason, with nothing installed."""
        with (own_volume / "site" / "_ullage_hook.py").open("a") as file:
            file.write(f"\n\n{text}\n")
        findings = tried(pod)
        (line,) = said(findings, "injection", "fail")
        assert line.startswith(f"ullage's sitecustomize ran, and did nothing: {reason}")
        assert line.endswith(f"; {step}")
        assert said(findings, "probes") == []

    def test_a_probe_that_cannot_be_installed(self, pod, own_volume):
        """It is named with its error; the others install."""
        with (own_volume / "ullage" / "probe" / "pool.py").open("a") as file:
            file.write("\n\ndef install(process):\n    raise RuntimeError('no')\n")
        findings = tried(pod)
        assert said(findings, "probes", "ok") == ["install: flask, rq, session"]
        (line,) = said(findings, "probes", "fail")
        assert line.startswith("pool cannot be installed: RuntimeError: no; ")

    def test_a_second_copy(self, pod):
        """The application's own copy is what is used, and the other is named; so is a difference of versions."""
        copy(pod.work / "own")
        own = pod.work / "own" / "ullage"
        text = (own / "__init__.py").read_text()
        (own / "__init__.py").write_text(text.replace('__version__ = "', '__version__ = "0.0.'))
        findings = tried(pod, pod.work / "own")
        (used,) = said(findings, "ullage", "ok")
        assert used.startswith("0.0.")
        assert used.endswith(f" from {own}")
        second, version = said(findings, "ullage", "warn")
        assert (
            second
            == f"a second copy, which is not used: {pod.volume}/ullage; keep one: the injected or the installed one"
        )
        assert version.startswith("the application finds that version, and the doctor is ")
        assert said(findings, "probes") == ["install: pool, flask, rq, session"]

    def test_another_module_of_that_name(self, pod):
        """An application's own `ullage.py` hides the package."""
        (pod.work / "own").mkdir()
        (pod.work / "own" / "ullage.py").write_text("")
        (line,) = said(tried(pod, pod.work / "own"), "probes", "fail")
        assert line.startswith(f"none: {pod.work}/own/ullage.py is another module of that name; ")

    def test_libraries_that_are_not_supported(self, pod):
        """A version that is too old fails, one that is too new is worth a look, and what is missing is waited for."""
        own = pod.work / "own"
        for name, version in (("SQLAlchemy", "1.3.24"), ("flask", "9.1"), ("rq", "1.16.2")):
            (own / f"{name}-{version}.dist-info").mkdir(parents=True)
            (own / f"{name}-{version}.dist-info" / "METADATA").write_text(f"Name: {name}\nVersion: {version}\n")
        (own / "rq.py").write_text("raise ModuleNotFoundError(name='rq')")
        findings = tried(pod, own)
        assert said(findings, "libraries", "fail") == [
            "sqlalchemy 1.3.24 is older than 1.4, the oldest that is supported; upgrade sqlalchemy"
        ]
        (newer,) = said(findings, "libraries", "warn")
        assert newer.startswith("flask 9.1 is newer than this version of ullage knows: below 4; ")
        assert said(findings, "libraries", "ok")[0].endswith(", rq 1.16.2")
        assert said(findings, "probes") == [
            "install: pool, flask",
            "have nothing to measure, as their libraries are not installed: rq, session",
        ]

    def test_a_library_that_breaks(self, pod):
        """A library that cannot be imported is named with its error."""
        (pod.work / "flask.py").write_text("raise SystemExit('no flask today')")
        (line,) = said(tried(pod), "probes", "fail")
        assert line.startswith("flask cannot be imported: SystemExit: no flask today; ")

    def test_the_applications_own_customization(self, pod):
        """Its sitecustomize ran too; it may print, and wrap what ullage wraps, and is named."""
        own = pod.work / "own"
        own.mkdir()
        (own / "sitecustomize.py").write_text("import company_tracing; print('tracing', end='')\n")
        (own / "company_tracing.py").write_text(
            "import flask\n"
            "original = flask.Flask.__call__\n"
            "def traced(self, *arguments):\n    return original(self, *arguments)\n"
            "flask.Flask.__call__ = traced\n"
        )
        findings = tried(pod, own)
        assert f"the application's own customization ran too: {own}/sitecustomize.py" in said(findings, "injection")
        assert said(findings, "others") == ["company_tracing wraps flask.Flask.__call__"]
        assert {found.mark for found in findings} == {"ok"}

    def test_a_python_that_does_not_start(self, pod):
        """An interpreter that ends, hangs or is not there fails with what it said."""
        own = pod.work / "own"
        own.mkdir()
        (own / "sitecustomize.py").write_text("import os, sys; sys.stderr.write('no license\\n'); os._exit(3)")
        (line,) = said(tried(pod, own), "python", "fail")
        assert f"it: {pod.python} could not be tried: exit status 3: no license; " in line
        gone = attempt(Startup("it", "/nowhere/python", (), {}, "/"))
        assert "No such file or directory" in gone.problem


def test_another_user(pod, wait_for, as_stranger, tmp_path):
    """Processes of another user are counted, and cannot be looked into."""
    ready = tmp_path / "other"
    pod.start_plain(
        sys.executable, "-c", f"import pathlib, signal; pathlib.Path({str(ready)!r}).touch(); signal.pause()"
    )
    wait_for(ready.exists, 30, "the program")
    found = pod.ask(user=as_stranger)
    assert "Python processes of other users, which may not be looked into: " in found.said("processes", "warn")
