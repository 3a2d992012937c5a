"""Steps that may run twice: MySQL commits every DDL statement, so a migration that was killed is half done."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from alembic import op


def create_table(name: str, *columns: sa.Column[Any] | sa.Constraint) -> None:
    """Create the table unless it is there; a server creates it whole or not at all."""
    if not sa.inspect(op.get_bind()).has_table(name):
        op.create_table(name, *columns)


def create_index(name: str, table: str, columns: Sequence[str]) -> None:
    """Create the index unless it is there. MySQL has no CREATE INDEX IF NOT EXISTS."""
    if name not in {index["name"] for index in sa.inspect(op.get_bind()).get_indexes(table)}:
        op.create_index(name, table, columns)
