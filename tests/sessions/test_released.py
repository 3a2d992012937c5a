"""`ullage.sessions.released` and `release`, for what is not an RQ job."""

from __future__ import annotations

import logging
import threading
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import scoped_session, sessionmaker
from sqlalchemy.pool import QueuePool

from ullage import sessions


class TestReleased:
    """What is not an RQ job."""

    @pytest.fixture
    def session(self, tmp_path: Path) -> Any:
        """Give a scoped_session in use."""
        engine = sa.create_engine(f"sqlite:///{tmp_path}/plain.db", poolclass=QueuePool)
        session = scoped_session(sessionmaker(bind=engine))
        sessions.use(session)
        yield session
        session.remove()
        engine.dispose()

    def test_a_block_ends_with_its_sessions(self, session):
        """A `with` block returns the connection, after an error too."""
        with sessions.released():
            session.execute(sa.text("SELECT 1"))
            assert session.get_bind().pool.checkedout() == 1
        assert not session.registry.has()
        with pytest.raises(sa.exc.OperationalError), sessions.released():
            session.execute(sa.text("SELECT nothing"))
        assert session.get_bind().pool.checkedout() == 0

    def test_a_decorated_function_ends_with_its_sessions(self, session):
        """As a decorator it serves every call."""

        @sessions.released()
        def query() -> int:
            return int(session.execute(sa.text("SELECT 42")).scalar())

        assert [query(), query()] == [42, 42]
        assert not session.registry.has()

    def test_the_sessions_of_other_threads_stay(self, session):
        """Only what this thread uses is released."""
        other = session()
        thread = threading.Thread(target=sessions.released()(lambda: session.execute(sa.text("SELECT 1"))))
        thread.start()
        thread.join()
        assert session() is other

    def test_a_session_that_cannot_be_closed_is_dropped_and_logged(self, session, caplog):
        """The work is done by then: one warning, and the next use begins anew."""

        @sa.event.listens_for(session.session_factory, "after_transaction_end")
        def break_off(*_: Any) -> None:
            raise RuntimeError("the listener's own")

        broken = session()
        session.execute(sa.text("SELECT 1"))
        with caplog.at_level(logging.WARNING, "ullage"):
            sessions.release()
        assert "RuntimeError: the listener's own" in caplog.text
        assert session() is not broken
        sa.event.remove(session.session_factory, "after_transaction_end", break_off)
