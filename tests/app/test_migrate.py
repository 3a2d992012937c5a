"""Migrations on every kind of database."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import uuid
from contextlib import contextmanager

import pymysql
import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Index, inspect, text

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


@pytest.fixture
def start_migrate():
    """Give a function that starts `python -m app.migrate ARGUMENTS`; what still runs at the end is killed."""
    started = []

    def start(*arguments, **environ):
        command = [sys.executable, "-m", "app.migrate", *arguments]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        started.append(subprocess.Popen(command, cwd=ROOT, env={**os.environ, **environ}, **pipes))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate(timeout=10)


def finish(process):
    """Wait for the process, and give its status and what it says in brackets at the end."""
    output, errors = process.communicate(timeout=60)
    found = re.search(r"\(([^()]*)\)\n$", output)
    return process.returncode, found[1] if found else errors


@pytest.mark.parametrize("server", ["mariadb_database", "postgres_database"])
def test_many_at_once_migrate_once(server, request, start_migrate):
    """Four migrations started together all succeed, and one of them did the work."""
    url = request.getfixturevalue(server)
    started = [start_migrate(DATABASE_URL=url) for _ in range(4)]
    assert sorted(map(finish, started)) == [(0, "was already there")] * 3 + [(0, "was empty")]


def test_a_half_done_first_migration_is_completed(migrated):
    """Tables and indexes that are there already are kept, and those that are missing are made."""
    with db.engine().begin() as connection:
        connection.execute(text("DROP TABLE csv_imports"))
        Index("ix_orders_customer", Base.metadata.tables["orders"].c.customer).drop(connection)
        connection.execute(text("DELETE FROM alembic_version"))
    assert migrate.upgrade() == (None, "0001")
    with db.engine().connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []


@pytest.fixture
def next_version(monkeypatch, tmp_path):
    """Give a function that adds a migration 0002 to a copy of the migrations, and makes the copy the code's."""
    copy = tmp_path / "migrations"
    shutil.copytree(migrate.MIGRATIONS, copy, ignore=shutil.ignore_patterns("__pycache__"))

    def add(*statements: str, between: str = "") -> None:
        pause = f"    op.execute(\"SELECT GET_LOCK('{between}', 60)\")\n" if between else ""
        body = pause.join(f"    op.execute({statement!r})\n" for statement in statements)
        (copy / "versions" / "0002_next.py").write_text(NEXT_VERSION + body)
        monkeypatch.setattr(migrate, "MIGRATIONS", copy)

    return add


NEXT_VERSION = """
from alembic import op

revision, down_revision, branch_labels, depends_on = "0002", "0001", None, None


def upgrade():
"""


def tables():
    """Give the names of the tables."""
    return set(inspect(db.engine()).get_table_names())


@contextmanager
def held_lock(mariadb, name):
    """Hold a lock of the server."""
    connection = pymysql.connect(
        host="127.0.0.1", port=mariadb.port, user=mariadb.application_user, password=mariadb.application_password
    )
    with connection, connection.cursor() as cursor:
        cursor.execute("SELECT GET_LOCK(%s, 0)", (name,))
        assert cursor.fetchone() == (1,)
        yield


MIGRATE_FROM = """
import pathlib, sys
from app import migrate

migrate.MIGRATIONS = pathlib.Path(sys.argv[1])
migrate.main([])
"""


class TestFailure:
    def test_names_where_it_stopped(self, mariadb_database, use_database, next_version):
        """A migration that fails says the revision that is reached and the server's own error."""
        next_version("CREATE TABLE half (id INT)", "ALTER TABLE nowhere ADD COLUMN id INT")
        with pytest.raises(migrate.MigrationError, match=r"^stopped at revision 0001 on the way to 0002: \(1146, "):
            migrate.upgrade()

    def test_leaves_the_lock_free(self, mariadb, mariadb_database, use_database, next_version):
        """The next attempt, which repairs what failed, need not wait."""
        next_version("ALTER TABLE nowhere ADD COLUMN id INT")
        with pytest.raises(migrate.MigrationError):
            migrate.upgrade()
        next_version("CREATE TABLE IF NOT EXISTS half (id INT)")
        assert migrate.upgrade() == ("0001", "0002")

    def test_killed_in_the_middle_is_continued(self, mariadb, use_database, next_version, wait_for):
        """A migration that was killed between two tables leaves no lock, and the next completes what MySQL kept."""
        gate = f"gate-{uuid.uuid4().hex}"
        next_version(*(f"CREATE TABLE IF NOT EXISTS {name} (id INT)" for name in ("first", "second")), between=gate)
        with held_lock(mariadb, gate):
            migration = subprocess.Popen([sys.executable, "-c", MIGRATE_FROM, str(migrate.MIGRATIONS)], cwd=ROOT)
            at_gate = f"SELECT id FROM information_schema.processlist WHERE info LIKE 'SELECT GET_LOCK(''{gate}''%'"
            wait_for(lambda: mariadb.execute(at_gate), 30, "the migration's arrival between the two tables")
            migration.kill()
            migration.wait(timeout=10)
        assert {"first", "second"} & tables() == {"first"}
        assert migrate.upgrade() == ("0001", "0002")
        assert {"first", "second"} <= tables()


class TestNewerSchema:
    """After `helm rollback` the database has a revision that the older code does not know."""

    @pytest.fixture
    def newer(self, mariadb_database, use_database, next_version, monkeypatch):
        """Migrate with the next version's code, and go back to this one's."""
        next_version("CREATE TABLE later (id INT)")
        assert migrate.upgrade() == (None, "0002")
        monkeypatch.undo()
        monkeypatch.setenv("DATABASE_URL", mariadb_database)

    @pytest.mark.parametrize("arguments", [(), ("--wait", "0")], ids=["migrates", "waits"])
    def test_is_accepted_and_left_as_it_is(self, newer, run_module, arguments):
        """The older code says in one line that the schema is newer, and neither fails nor changes it."""
        done = run_module("app.migrate", *arguments)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.endswith(" is at revision 0002 (newer than this code's 0001, and left as it is)\n")
        assert migrate.upgrade() == ("0002", "0002")


class TestWait:
    def test_until_the_database_is_there_and_migrated(self, mariadb, start_migrate, monkeypatch):
        """It outlives a database that is not there yet and one without a schema, and says which it waits for."""
        database = f"test_{uuid.uuid4().hex[:12]}"
        monkeypatch.setenv("DATABASE_URL", mariadb.url(database))
        waiting = start_migrate("--wait", "60")
        assert "Unknown database" in waiting.stdout.readline()
        mariadb.execute(f"CREATE DATABASE {database}")
        another = start_migrate("--wait", "60")
        assert another.stdout.readline().endswith("it is at revision empty, and this code needs 0001\n")
        assert finish(start_migrate()) == (0, "was empty")
        assert [finish(waiting), finish(another)] == [(0, "was already there")] * 2
        mariadb.execute(f"DROP DATABASE {database}")

    def test_gives_up(self, mariadb_database, use_database, run_module):
        """At the end of its time it fails, and says in one line what is still missing."""
        done = run_module("app.migrate", "--wait", "0")
        assert done.returncode == 1
        assert done.stderr.endswith(
            ": not ready within 0 seconds: it is at revision empty, and this code needs 0001; "
            "read the log of the migration\n"
        )
        assert done.stderr.count("\n") == 1

    def test_for_a_server_that_never_answers(self, run_module):
        """A server that does not answer is the reason that it gives, without the password."""
        done = run_module("app.migrate", "--wait", "0", DATABASE_URL="mysql+pymysql://shop:secret@127.0.0.1:1/shop")
        assert done.returncode == 1
        assert "not ready within 0 seconds: (2003, " in done.stderr
        assert "secret" not in done.stdout + done.stderr


@pytest.fixture
def use_database(mariadb_database, monkeypatch):
    """Make the empty MariaDB database the application's."""
    monkeypatch.setenv("DATABASE_URL", mariadb_database)
    db.close()
    yield
    db.close()
