"""`python -m app.migrate`: brings the schema to the newest revision, safely from many pods at once."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

from alembic import command
from alembic.config import Config as AlembicConfig
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, text
from sqlalchemy.exc import SQLAlchemyError

from app import db
from app.config import ConfigError

MIGRATIONS = Path(__file__).parent / "migrations"
MYSQL_LOCK = ("SELECT GET_LOCK(:name, 300)", "SELECT RELEASE_LOCK(:name)")
POSTGRESQL_LOCK = (
    "SELECT pg_advisory_lock(hashtext(:name)) IS NOT NULL",
    "SELECT pg_advisory_unlock(hashtext(:name))",
)
LOCKS = {"mysql": MYSQL_LOCK, "mariadb": MYSQL_LOCK, "postgresql": POSTGRESQL_LOCK}


class MigrationLockError(RuntimeError):
    """Another process kept the migration lock for too long."""


def upgrade() -> tuple[str | None, str | None]:
    """Upgrade to the newest revision and give the revisions before and after; doing so twice changes nothing."""
    config = AlembicConfig(MIGRATIONS / "alembic.ini")
    with db.engine().connect() as connection, _exclusive(connection):
        before = _revision(connection)
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        connection.commit()
        return before, _revision(connection)


def main() -> None:
    """Upgrade and say what was done; on an error say it in one line."""
    try:
        before, after = upgrade()
    except ConfigError as error:
        print(f"app.migrate: {error}", file=sys.stderr)
        sys.exit(2)
    except (SQLAlchemyError, MigrationLockError) as error:
        # Not str(error) of SQLAlchemy: it goes on with the statement and a link.
        sys.exit(f"app.migrate: {db.engine().url!r}: {getattr(error, 'orig', None) or error}")
    change = "was already there" if before == after else f"was {before or 'empty'}"
    print(f"app.migrate: {db.engine().url!r} is at revision {after} ({change})")


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
        raise MigrationLockError("another migration has held the lock for 300 seconds; end it, then run this again")
    connection.commit()
    try:
        yield
    finally:
        connection.rollback()
        connection.execute(release, name)
        connection.commit()


def _revision(connection: Connection) -> str | None:
    revision = MigrationContext.configure(connection).get_current_revision()
    connection.commit()
    return revision


if __name__ == "__main__":
    main()
