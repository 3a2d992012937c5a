"""Three engines: where orders are written, where they are read, and an archive in a file. No extension of Flask's."""

import os

from sqlalchemy import Integer, NullPool, String, create_engine, event
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, scoped_session, sessionmaker

primary = create_engine(os.environ["DATABASE_URL"], pool_pre_ping=True, pool_logging_name="primary")
replica = create_engine(os.environ["DATABASE_URL"], pool_size=2, max_overflow=0, pool_logging_name="replica")
archive = create_engine(os.environ["ARCHIVE_URL"], poolclass=NullPool, pool_logging_name="archive")

Session = scoped_session(sessionmaker(primary))
ReadSession = sessionmaker(replica)
handed_out = {"primary": 0, "replica": 0, "archive": 0}


class Base(DeclarativeBase):
    """The models' base."""


class Order(Base):
    """What was ordered."""

    __tablename__ = "orders"
    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    item: Mapped[str] = mapped_column(String(40))
    quantity: Mapped[int]


class Archived(Base):
    """What was ordered long ago."""

    __tablename__ = "archived"
    id: Mapped[int] = mapped_column(Integer, primary_key=True)


def counting(engine):
    """Count an engine's checkouts: the application listens to its pools itself."""

    def count(_connection, _record, _fairy):
        handed_out[engine.pool.logging_name] += 1

    event.listen(engine, "checkout", count)


for each in (primary, replica, archive):
    counting(each)
