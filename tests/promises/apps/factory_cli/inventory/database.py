"""The session, which gets its engine from the factory."""

from sqlalchemy import String, create_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, scoped_session, sessionmaker

Session = scoped_session(sessionmaker())


class Base(DeclarativeBase):
    """The models' base."""


class Item(Base):
    """What is in stock."""

    __tablename__ = "items"
    id: Mapped[int] = mapped_column(primary_key=True)
    item: Mapped[str] = mapped_column(String(40))
    quantity: Mapped[int]


def init_engine(url):
    """Make the engine and bind the session to it."""
    Session.configure(bind=create_engine(url, pool_recycle=600))
