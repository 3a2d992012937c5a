"""Flask-SQLAlchemy in use outside of contexts, with two databases in a directory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from flask_sqlalchemy import SQLAlchemy

from ullage import sessions

IS_VERSION_3 = hasattr(SQLAlchemy, "engines")


def use(db: SQLAlchemy, directory: Path, **options: Any) -> None:
    """Call `use` with two databases in a directory."""
    sessions.use(db, f"sqlite:///{directory}/shop.db", binds={"log": f"sqlite:///{directory}/log.db"}, **options)
