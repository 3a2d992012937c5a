"""Who may import what: the probe brings nothing into the application, the exporter none of its libraries."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import ullage

LOADED = "import sys; print(*sorted({name.partition('.')[0] for name in sys.modules}))"


def loaded_by(statement: str) -> set[str]:
    """Return the top-level modules that a new interpreter has after a statement."""
    command = [sys.executable, "-W", "error", "-c", f"{statement}; {LOADED}"]
    return set(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split())


def test_importing_ullage_loads_next_to_nothing():
    """`import ullage` alone reads no setting and loads no library."""
    assert not loaded_by("import ullage") & {"sqlalchemy", "flask", "rq", "prometheus_client", "logging", "mmap"}


def test_the_probe_needs_the_standard_library_alone():
    """The pool probe loads SQLAlchemy, which the application has, and nothing else that is not Python's."""
    # Debian's Python has a sitecustomize of its own.
    allowed = {"sqlalchemy", "ullage", "greenlet", "typing_extensions", "cython_runtime", "sitecustomize"}
    extra = loaded_by("import ullage.probe.pool") - set(sys.stdlib_module_names) - allowed
    assert not {name for name in extra if not name.startswith("_")}


@pytest.mark.parametrize("module", ["observer.queues", "observer.command", "observer.redis_source", "observer.cluster"])
def test_the_observer_needs_neither_rq_nor_sqlalchemy(module):
    """The observer reads RQ's keys without RQ, and budgets without SQLAlchemy."""
    assert not loaded_by(f"import ullage.{module}") & {"sqlalchemy", "rq", "flask", "werkzeug"}


@pytest.mark.parametrize("module", ["collector", "server", "cli", "dump", "pages"])
def test_the_exporter_loads_none_of_the_applications_libraries(module):
    """Collector, server and command line never import sqlalchemy, rq, redis or flask."""
    assert not loaded_by(f"import ullage.{module}") & {"sqlalchemy", "rq", "redis", "flask", "werkzeug"}


def test_the_injected_hook_loads_nothing():
    """What every start of Python in an injected container imports brings no other module with it."""
    hook = Path(ullage.__file__).parent / "inject"
    statement = f"import sys; sys.path.insert(0, {str(hook)!r}); before = set(sys.modules); import hook"
    command = [sys.executable, "-c", f"{statement}; print(*(set(sys.modules) - before))"]
    assert subprocess.run(command, check=True, capture_output=True, text=True).stdout == "hook\n"


def test_jobs_are_measured_without_sqlalchemy():
    """RQ's probe loads RQ, and not SQLAlchemy, which a worker's jobs may never need."""
    assert not loaded_by("import ullage.probe.rq") & {"sqlalchemy", "flask", "prometheus_client"}


def test_the_doctor_needs_the_standard_library_alone():
    """It runs in any image that has nothing but the injected package, and loads none of the application's libraries."""
    report = "import pathlib, ullage.cli, ullage.doctor; ullage.doctor.Report({}, pathlib.Path('/nowhere'))"
    before = loaded_by("pass")  # what an editable installation brings
    assert loaded_by(report) - before <= {*sys.stdlib_module_names, "ullage"}


def test_reading_the_report_imports_no_probe():
    """What tells whether this process is measured does not begin to measure it."""
    code = "import sys, ullage.inject; ullage.inject.report(); print('ullage.probe' in sys.modules)"
    command = [sys.executable, "-c", code]
    assert subprocess.run(command, check=True, capture_output=True, text=True).stdout == "False\n"


def test_only_the_segment_knows_the_bytes():
    """mmap and struct are used in the segment package alone."""
    root = Path(ullage.__file__).parent
    users = {
        str(path.relative_to(root).parent)
        for path in root.rglob("*.py")
        if {"import mmap", "import struct"} & {line.strip() for line in path.read_text().splitlines()}
    }
    assert users == {"segment"}
