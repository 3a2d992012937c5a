"""The databases of the zoo, and where its jobs keep what they do not release."""

from __future__ import annotations

import os
from typing import Any

from sqlalchemy import Column, Integer, create_engine, select
from sqlalchemy.orm import Session, declarative_base, scoped_session, sessionmaker
from sqlalchemy.pool import NullPool, QueuePool

Base: Any = declarative_base()
# Leaks of a hundred jobs in one process must not run into the limit: that is another test.
WIDE = {"poolclass": QueuePool, "pool_size": 50, "max_overflow": 200, "connect_args": {"check_same_thread": False}}


class Order(Base):
    """A row."""

    __tablename__ = "orders"
    id = Column(Integer, primary_key=True)


ONE = select(Order.id)

_URL = os.environ.get("ZOO_DATABASE", "sqlite://")
engine = create_engine(_URL, pool_logging_name="zoo", **WIDE)
second_engine = create_engine(_URL, pool_logging_name="second", **WIDE)
unpooled_engine = create_engine(_URL, poolclass=NullPool, pool_logging_name="unpooled")

# An object that a cache, a global or another object refers to outlives its function as these do.
KEPT: list[Any] = []


def keep(thing: Any) -> Any:
    """Refer to a thing for the rest of the process."""
    KEPT.append(thing)
    return thing


def new_session() -> Session:
    """Return a session that is referred to for the rest of the process."""
    session: Session = keep(Session(engine))
    return session


def new_registry() -> Any:
    """Return a scoped session of one's own."""
    return scoped_session(sessionmaker(engine))
