"""Who may import whom."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.app.conftest import ROOT


def imported_by(module: str) -> set[str]:
    """Import a module in a new interpreter and give the top-level names it brought along."""
    script = f"import sys, {module}; print(*{{name.partition('.')[0] for name in sys.modules}})"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    return set(done.stdout.split())


def test_the_package_is_light():
    """Importing `app` alone brings neither flask nor sqlalchemy nor rq."""
    assert imported_by("app").isdisjoint({"flask", "sqlalchemy", "rq"})


@pytest.mark.parametrize("module", ["app.tasks", "app.db", "app.worker", "app.migrate"])
def test_workers_never_import_flask(module):
    """What workers and migrations import leaves flask out."""
    modules = imported_by(module)
    assert "sqlalchemy" in modules
    assert modules.isdisjoint({"flask", "werkzeug"})
