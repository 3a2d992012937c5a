"""Probes are installed when their libraries are imported, once, by whatever route, and each for itself."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from tests.promises.readings import Page

REPORT = """
import dataclasses, json
from ullage.inject import report
print(json.dumps(dataclasses.asdict(report())))
"""
QUERY = """
with sqlalchemy.create_engine("sqlite://").connect() as connection:
    connection.execute(sqlalchemy.text("SELECT 42"))
"""


@pytest.fixture
def run(tmp_path):
    """Give a function that runs a program and returns its report, and what it wrote to stderr."""

    def run_program(code: str, **environ: str) -> tuple[dict[str, Any], str]:
        done = subprocess.run(
            [sys.executable, "-c", code + REPORT],
            env={**os.environ, "ULLAGE_DIR": str(tmp_path), "ULLAGE_ROLE": "test", **environ},
            capture_output=True,
            text=True,
            check=True,
        )
        return json.loads(done.stdout.splitlines()[-1]), done.stderr

    return run_program


class TestOrder:
    """`install()` comes before or after the imports."""

    def test_before_the_imports(self, run):
        """Nothing is imported for a probe's sake, and each probe comes with its library."""
        found, _ = run(
            """
import sys, ullage
assert ullage.install()
assert not {"sqlalchemy", "flask", "rq"} & set(sys.modules)
import rq
assert "sqlalchemy" not in sys.modules
import flask, sqlalchemy
assert "sqlalchemy.orm" not in sys.modules
import sqlalchemy.orm
"""
        )
        assert found["probes"] == dict.fromkeys(("pool", "flask", "rq", "session"), "installed")

    def test_after_the_imports(self, run):
        """What is imported is measured at once, and nothing is left in sys.meta_path."""
        found, _ = run(
            """
import sys
before = list(sys.meta_path)
import flask, rq, sqlalchemy.orm, ullage
assert ullage.install()
assert sys.meta_path[-3:] == before[-3:] and not [finder for finder in sys.meta_path if "ullage" in repr(finder)]
"""
        )
        assert set(found["probes"].values()) == {"installed"}

    def test_jobs_without_sqlalchemy(self, run):
        """RQ is measured where there is no SQLAlchemy."""
        found, stderr = run("import sys; sys.modules['sqlalchemy'] = None; import ullage; ullage.install(); import rq")
        assert found["probes"] == {"pool": "waiting", "flask": "waiting", "rq": "installed", "session": "waiting"}
        assert stderr == ""


class TestOnce:
    """Two installs are one."""

    @pytest.mark.parametrize(
        "code",
        [
            pytest.param("ullage.install(); import sqlalchemy; ullage.install()", id="twice"),
            pytest.param(
                "import sqlalchemy; sqlalchemy.create_engine('sqlite://?plugin=ullage'); ullage.install()", id="plugin"
            ),
            pytest.param(
                "import sqlalchemy; [sqlalchemy.create_engine('sqlite://?plugin=ullage') for _ in range(3)]",
                id="three engines",
            ),
        ],
    )
    def test_routes(self, run, tmp_path, code):
        """One segment, and each checkout counts once."""
        found, _ = run(f"import ullage; {code}{QUERY}")
        assert found["probes"]["pool"] == "installed"
        assert Page.read(tmp_path).total("sqlalchemy_pool_checkouts_total") == 1
        assert len(list(tmp_path.iterdir())) == 1

    def test_threads(self, run, tmp_path):
        """Threads that install and import at once end with every probe installed, in one live segment."""
        found, stderr = run(
            """
import importlib, threading, ullage
start = threading.Barrier(6)
def work(name):
    start.wait()
    ullage.install()
    importlib.import_module(name)
threads = [threading.Thread(target=work, args=(name,)) for name in ("flask", "rq", "sqlalchemy.orm") * 2]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
import sqlalchemy
"""
            + QUERY
        )
        assert stderr == ""
        assert set(found["probes"].values()) == {"installed"}
        assert Page.read(tmp_path).total("sqlalchemy_pool_checkouts_total") == 1

    def test_another_copy_has_been_here(self, run):
        """A probe that another copy of ullage installed is left as it is, and the report says so."""
        found, stderr = run(
            """
import sqlalchemy, ullage
sqlalchemy.pool.Pool._ullage_installed = True
assert ullage.install()
"""
        )
        assert found["probes"]["pool"] == "installed by another copy of ullage"
        assert stderr == ""


class TestAlone:
    """A probe that fails, fails alone."""

    def test_a_probe_that_cannot_be_installed(self, run, tmp_path):
        """One line, the reason in the report, False, and the other probes measure."""
        found, stderr = run(
            """
import sys, flask, sqlalchemy, ullage
sys.modules["ullage.probe.flask"] = None
assert not ullage.install()
"""
            + QUERY
        )
        assert found["probes"]["pool"] == "installed"
        assert found["probes"]["flask"].startswith("ModuleNotFoundError: ")
        assert stderr.count("\n") == 1
        assert stderr.startswith("ullage: the flask probe could not be installed: ModuleNotFoundError: ")
        assert Page.read(tmp_path).total("sqlalchemy_pool_checkouts_total") == 1

    def test_a_probe_that_fails_later(self, run, tmp_path):
        """It goes quiet, and the report says so."""
        found, stderr = run(
            """
import flask, sqlalchemy, ullage
from ullage.probe import process
ullage.install()
try:
    process._process.writer.counter(None)
except AttributeError as error:
    process._process.swallow("flask", error)
"""
            + QUERY
        )
        assert found["probes"]["flask"] == "silent after an error"
        assert stderr.count("\n") == 1
        assert Page.read(tmp_path).total("sqlalchemy_pool_checkouts_total") == 1

    def test_no_segment_is_said_once_and_not_in_every_child(self, run):
        """A worker's horses do not repeat why nothing is measured; the reason is in the report."""
        found, stderr = run(
            """
import os, sqlalchemy, ullage
ullage.install()
for _ in range(3):
    if not os.fork():
        os._exit(0)
    os.wait()
""",
            ULLAGE_DIR="/nowhere",
        )
        assert stderr.count("\n") == 1
        assert "No such file or directory" in found["problem"]

    def test_switched_off(self, run, tmp_path):
        """ULLAGE_ENABLED=0: nothing is installed or waited for, and the report says why."""
        found, stderr = run("import sqlalchemy, ullage; assert not ullage.install()", ULLAGE_ENABLED="0")
        assert found["reason"] == "ULLAGE_ENABLED is off"
        assert (found["probes"], stderr, list(tmp_path.iterdir())) == ({}, "", [])
