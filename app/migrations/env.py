"""Runs by Alembic: on the connection that `app.migrate` locked, or on one of its own for developers' commands."""

from __future__ import annotations

from alembic import context
from sqlalchemy import Connection

from app import db
from app.models import Base


def migrate(connection: Connection) -> None:
    """Run the wanted migrations on one connection."""
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        # SQLite cannot alter most of a table; batch mode copies it instead.
        render_as_batch=connection.dialect.name == "sqlite",
    )
    with context.begin_transaction():
        context.run_migrations()


given: Connection | None = context.config.attributes.get("connection")
if given is not None:
    migrate(given)
else:
    with db.engine().connect() as own:
        migrate(own)
