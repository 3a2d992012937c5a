"""`ullage.sessions.use` called again, from several threads, and wrongly."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable

import pytest
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.orm import scoped_session, sessionmaker

from tests.sessions.extension import IS_VERSION_3, use
from ullage import sessions


class TestUse:
    """Calling it again, from several threads, and wrongly."""

    def test_the_same_call_again_changes_nothing(self, db, tmp_path):
        """Modules may call it at import, each time with the same arguments."""
        engine = db.engine
        use(db, tmp_path)
        assert db.engine is engine

    def test_another_database_is_refused(self, db, tmp_path):
        """Two places that disagree get an error, instead of the one that came first."""
        with pytest.raises(ValueError, match="with another database or other options"):
            use(db, tmp_path / "other")

    def test_threads_may_race(self, tmp_path):
        """Eight threads that import the tasks at once get one engine."""
        db, barrier, engines = SQLAlchemy(), threading.Barrier(8), []

        def start() -> None:
            barrier.wait()
            use(db, tmp_path)
            engines.append(db.engine)

        threads = [threading.Thread(target=start) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(engines) == 8
        assert len(set(engines)) == 1

    @pytest.mark.parametrize(
        ("call", "error", "message"),
        [
            pytest.param(lambda: sessions.use(SQLAlchemy()), ValueError, "no database to connect to", id="no-url"),
            pytest.param(
                lambda: sessions.use(SQLAlchemy(), "p@ss"), ValueError, "url is no database URL", id="bad-url"
            ),
            pytest.param(
                lambda: sessions.use(SQLAlchemy(), binds={"log": {"url": "sqlite:///log.db"}}),
                ValueError,
                r"binds\['log'\]\['url'\] names the file 'log.db'.* absolute path",
                id="relative-path",
            ),
            pytest.param(lambda: sessions.use(sessionmaker()), TypeError, "sessionmaker is neither", id="sessionmaker"),
            pytest.param(
                lambda: sessions.use(scoped_session(sessionmaker()), "sqlite://"),
                TypeError,
                "has an engine of its own",
                id="scoped-session-with-url",
            ),
            pytest.param(
                lambda: sessions.use(SQLAlchemy().session),
                TypeError,
                r"call ullage\.sessions\.use\(db, url\) with db itself",
                id="session-of-an-extension",
                marks=pytest.mark.skipif(not IS_VERSION_3, reason="version 2's needs no context"),
            ),
        ],
    )
    def test_a_wrong_call_says_what_to_do(self, call: Callable[[], None], error, message):
        """The error names what was given, and the call that works; a password is never in it."""
        with pytest.raises(error, match=message) as caught:
            call()
        assert "p@ss" not in str(caught.value)

    def test_it_loads_nothing_that_is_not_there(self):
        """`import ullage` loads no sqlalchemy, `ullage.sessions` no flask, and `use(db)` no more than the extension."""
        code = """
            import sys
            import ullage
            assert "sqlalchemy" not in sys.modules
            import ullage.sessions
            assert not {"flask", "rq"} & set(sys.modules)
            from flask_sqlalchemy import SQLAlchemy
            sys.modules["rq"] = None  # as if RQ were not installed
            before = {name.partition(".")[0] for name in sys.modules}
            ullage.sessions.use(SQLAlchemy(), "sqlite://")
            print(*{name.partition(".")[0] for name in sys.modules} - before - set(sys.stdlib_module_names))
        """
        command = [sys.executable, "-W", "ignore", "-c", textwrap.dedent(code)]
        assert subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip() == ""
