"""`python -m app.migrate`: brings the schema to the newest revision, or waits for it; safe from many pods at once."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from alembic import command
from alembic.config import Config as AlembicConfig
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, text
from sqlalchemy.exc import SQLAlchemyError

from app import db
from app.config import ConfigError

MIGRATIONS = Path(__file__).parent / "migrations"
LOCK_SECONDS = 300
MYSQL_LOCK = (f"SELECT GET_LOCK(:name, {LOCK_SECONDS})", "SELECT RELEASE_LOCK(:name)")
POSTGRESQL_LOCK = (
    "SELECT pg_advisory_lock(hashtext(:name)) IS NOT NULL",
    "SELECT pg_advisory_unlock(hashtext(:name))",
)
LOCKS = {"mysql": MYSQL_LOCK, "mariadb": MYSQL_LOCK, "postgresql": POSTGRESQL_LOCK}
POLL_SECONDS = 1
REPORT_SECONDS = 10


class MigrationError(RuntimeError):
    """The schema is not what this code needs; the message says why."""


@dataclass(frozen=True)
class Code:
    """The revisions that this code has migrations for."""

    head: str | None
    known: frozenset[str]

    @classmethod
    def read(cls) -> Code:
        """Read the migrations' files."""
        scripts = ScriptDirectory.from_config(_alembic())
        return cls(scripts.get_current_head(), frozenset(script.revision for script in scripts.walk_revisions()))

    def is_older_than(self, revision: str | None) -> bool:
        """Say whether newer code migrated the database to this revision, as before a rollback."""
        return revision is not None and revision not in self.known

    def can_use(self, revision: str | None) -> bool:
        """Say whether a schema of this revision is enough; a newer one keeps what older code uses."""
        return revision == self.head or self.is_older_than(revision)


def upgrade() -> tuple[str | None, str | None]:
    """Upgrade to the newest revision and give the revisions before and after; doing so twice changes nothing."""
    code = Code.read()
    with db.engine().connect() as connection, _exclusive(connection):
        before = _revision(connection)
        if code.is_older_than(before):
            return before, before
        config = _alembic()
        config.attributes["connection"] = connection
        try:
            command.upgrade(config, "head")
            connection.commit()
        except (SQLAlchemyError, CommandError) as error:
            connection.rollback()
            stopped = _revision(connection) or "empty"
            raise MigrationError(
                f"stopped at revision {stopped} on the way to {code.head}: {_reason(error)}"
            ) from error
        return before, _revision(connection)


def wait(seconds: int) -> str | None:
    """Give the revision once this code can use it; until then say every 10 seconds what is missing."""
    code = Code.read()
    deadline = time.monotonic() + seconds
    next_report = time.monotonic()
    while True:
        try:
            with db.engine().connect() as connection:
                revision = _revision(connection)
            if code.can_use(revision):
                return revision
            missing = f"it is at revision {revision or 'empty'}, and this code needs {code.head}"
        except (SQLAlchemyError, OSError) as error:
            missing = _reason(error)
        now = time.monotonic()
        if now >= deadline:
            raise MigrationError(f"not ready within {seconds} seconds: {missing}; read the log of the migration")
        if now >= next_report:
            print(f"app.migrate: waiting for {db.engine().url!r}: {missing}", flush=True)
            next_report = now + REPORT_SECONDS
        time.sleep(POLL_SECONDS)


def main(arguments: Sequence[str]) -> None:
    """Upgrade or wait, and say what was found; on an error say it in one line."""
    options = _parser().parse_args(arguments)
    try:
        before, after = upgrade() if options.wait is None else [wait(options.wait)] * 2
        print(f"app.migrate: {db.engine().url!r} is at revision {after} ({_describe(before, after)})")
    except ConfigError as error:
        print(f"app.migrate: {error}", file=sys.stderr)
        sys.exit(2)
    except (SQLAlchemyError, CommandError, MigrationError, OSError) as error:
        sys.exit(f"app.migrate: {db.engine().url!r}: {_reason(error)}")
    finally:
        db.close()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="app.migrate",
        description="Bring the database to the newest revision of the schema that this code knows. Never downgrades: a "
        "database that newer code migrated is left as it is.",
        epilog="The database is DATABASE_URL, or DATABASE_HOST and its like. Status: 0 the schema is there, 1 it is "
        "not, 2 a setting is wrong.",
    )
    parser.add_argument(
        "--wait",
        metavar="SECONDS",
        type=int,
        help="change nothing; wait until the database, which may not answer yet, has this revision or a newer one",
    )
    return parser


def _describe(before: str | None, after: str | None) -> str:
    code = Code.read()
    if code.is_older_than(after):
        return f"newer than this code's {code.head}, and left as it is"
    return "was already there" if before == after else f"was {before or 'empty'}"


@contextmanager
def _exclusive(connection: Connection) -> Iterator[None]:
    # The database's own lock dies with its connection, so a killed migration blocks nobody. SQLite has none and
    # needs none: its file lives on one machine, where one start-up script migrates.
    statements = LOCKS.get(connection.dialect.name)
    if statements is None:
        yield
        return
    take, release = map(text, statements)
    # The server's lock names are global; another application's database may live beside this one.
    name = {"name": f"app.migrate:{sha256(str(connection.engine.url.database).encode()).hexdigest()[:16]}"}
    if not connection.scalar(take, name):
        raise MigrationError(
            f"another migration has held the lock for {LOCK_SECONDS} seconds; end it, then run this again"
        )
    connection.commit()
    try:
        yield
    finally:
        connection.rollback()
        connection.execute(release, name)
        connection.commit()


def _revision(connection: Connection) -> str | None:
    revision = MigrationContext.configure(connection).get_current_revision()
    # Or the transaction would keep the version table from a migration.
    connection.commit()
    return revision


def _alembic() -> AlembicConfig:
    return AlembicConfig(MIGRATIONS / "alembic.ini")


def _reason(error: BaseException) -> str:
    # Not str(error) of SQLAlchemy: it goes on with the statement and a link.
    return str(getattr(error, "orig", None) or error)


if __name__ == "__main__":
    main(sys.argv[1:])
