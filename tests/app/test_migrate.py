"""Migrations on every kind of database."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from app import db, migrate
from app.models import Base
from tests.app.conftest import ROOT


@pytest.fixture(params=["sqlite", "mariadb", "postgres"])
def migrated(request, monkeypatch, tmp_path, redis_server):
    """Give a migrated database of each kind, as its URL."""
    if request.param == "mariadb":
        url = request.getfixturevalue("mariadb_database")
    elif request.param == "postgres":
        url = request.getfixturevalue("postgres_database")
    else:
        url = f"sqlite:///{tmp_path / 'app.db'}"
    monkeypatch.setenv("DATABASE_URL", url)
    db.close()
    assert migrate.upgrade() == (None, "0001")
    yield url
    db.close()


def test_twice_changes_nothing(migrated):
    """A second upgrade finds everything in place."""
    assert migrate.upgrade() == ("0001", "0001")


def test_the_migrations_make_the_models(migrated):
    """Nothing is left to migrate between the migrations' schema and the models'."""
    with db.engine().connect() as connection:
        context = MigrationContext.configure(connection)
        assert compare_metadata(context, Base.metadata) == []


def test_says_what_it_did(config, run_module):
    """The command names the database, without its password, and the revisions."""
    first, second = run_module("app.migrate"), run_module("app.migrate")
    assert first.stdout.endswith("app.db is at revision 0001 (was empty)\n")
    assert second.stdout.endswith("app.db is at revision 0001 (was already there)\n")
    assert (first.returncode, second.returncode, first.stderr) == (0, 0, "")


def test_an_unreachable_database_is_one_line(run_module):
    """A database that does not answer is said in one line, without the password."""
    done = run_module("app.migrate", DATABASE_URL="mysql+pymysql://shop:secret@127.0.0.1:1/shop")
    assert done.returncode == 1
    assert done.stderr.startswith("app.migrate: mysql+pymysql://shop:***@127.0.0.1:1/shop: ")
    assert done.stderr.count("\n") == 1
    assert "secret" not in done.stderr


def test_a_bad_setting_is_one_line(run_module):
    """A bad setting ends the command with status 2."""
    done = run_module("app.migrate", DB_POOL_SIZE="many")
    assert (done.returncode, done.stderr) == (2, "app.migrate: DB_POOL_SIZE='many': want an integer from 1 to 1000\n")


@pytest.mark.parametrize("server", ["mariadb_database", "postgres_database"])
def test_many_at_once_migrate_once(server, request):
    """Four migrations started together all succeed, and one of them did the work."""
    environ = {**os.environ, "DATABASE_URL": request.getfixturevalue(server)}
    command = [sys.executable, "-m", "app.migrate"]
    started = [
        subprocess.Popen(command, cwd=ROOT, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    outputs = [process.communicate(timeout=60) for process in started]
    assert [process.returncode for process in started] == [0, 0, 0, 0], outputs
    assert sum("was empty" in output for output, _ in outputs) == 1
