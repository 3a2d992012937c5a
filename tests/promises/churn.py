"""The job of which there are many: one query, released."""

from __future__ import annotations

from sqlalchemy import create_engine, text

engine = create_engine("sqlite://", pool_logging_name="churn")


def query() -> None:
    """Check a connection out and return it."""
    with engine.connect() as connection:
        connection.execute(text("SELECT 1"))
