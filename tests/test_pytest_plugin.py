"""The pytest plugin, by pytest runs on small projects."""

from __future__ import annotations

import pytest

pytest_plugins = ["pytester"]

CONFTEST = """
import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.orm import Session

@pytest.fixture(scope="session")
def engine(tmp_path_factory):
    engine = create_engine(f"sqlite:///{tmp_path_factory.mktemp('shop')}/shop.db")
    yield engine
    engine.dispose()

@pytest.fixture(scope="module")
def shared(engine):
    with engine.connect() as connection:
        connection.execute(text("SELECT 1"))
        yield connection

@pytest.fixture
def session(engine):
    with Session(engine) as session:
        yield session
"""
DB = """
from sqlalchemy import text
from sqlalchemy.orm import Session

kept = []

def get_session(engine):
    session = Session(engine)
    session.execute(text("SELECT 1"))
    kept.append(session)
    return session
"""


@pytest.fixture
def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch):
    """Give a function that runs the tests in a text, with the check switched on unless told."""
    monkeypatch.setenv("ULLAGE_DIR", "/nowhere")
    pytester.makeconftest(CONFTEST)
    pytester.mkpydir("shop").joinpath("db.py").write_text(DB)

    def run(tests: str, *options: str, check: bool = True) -> pytest.RunResult:
        imports = "import pytest, sqlalchemy as sa\nfrom shop.db import get_session\n"
        pytester.makepyfile(test_shop=imports + tests)
        return pytester.runpytest_subprocess("--strict-markers", *(["--ullage-leaks"] if check else []), *options)

    return run


class TestLeaks:
    """What fails."""

    def test_a_leak_is_named_by_function_line_and_caller(self, run):
        """The test that left a connection out fails, with the line that took it, its own line, and the fix."""
        result = run(
            "def test_one(engine):\n    get_session(engine)\n\ndef test_two(engine):\n    get_session(engine)\n"
        )
        result.assert_outcomes(passed=2, errors=2)
        result.stdout.fnmatch_lines(
            [
                "*ERROR at teardown of test_one*",
                "connection not released: shop/db.py:9 get_session",
                "  called from test_shop.py:4 test_one",
                "  a connection to sqlite:///*shop.db",
                "close the session there (with Session() as session: *@pytest.mark.ullage_leaks_allowed*",
                "*ERROR at teardown of test_two*",
                "  called from test_shop.py:7 test_two",
                "ERROR test_shop.py::test_one - Failed: connection not released: shop/db*",
            ]
        )
        result.stdout.no_fnmatch_line("*ullage is off*")
        assert result.ret == pytest.ExitCode.TESTS_FAILED

    def test_a_fixture_without_teardown_leaks_for_its_test(self, run):
        """What a function-scoped fixture took and does not return is its test's."""
        result = run(
            """
@pytest.fixture
def held(engine):
    return get_session(engine)

def test_one(held):
    pass
"""
        )
        result.assert_outcomes(passed=1, errors=1)
        result.stdout.fnmatch_lines(["connection not released: shop/db.py:9 get_session"])

    def test_unittest_cases_and_event_loops_count(self, run):
        """A leak in a TestCase, and one in a coroutine that the test runs, fail as well."""
        result = run(
            """
import asyncio, unittest
engine = sa.create_engine("sqlite://", poolclass=sa.NullPool)

class TestCase(unittest.TestCase):
    def test_case(self):
        get_session(engine)

def test_loop():
    async def leak():
        get_session(engine)
    asyncio.run(leak())
"""
        )
        result.assert_outcomes(passed=2, errors=2)
        result.stdout.fnmatch_lines(
            ["  called from test_shop.py:9 TestCase.test_case", "  called from test_shop.py:13 *leak"]
        )

    def test_several_leaks_are_all_named(self, run):
        """Two connections from two lines are two entries."""
        result = run(
            """
def test_one():
    engine = sa.create_engine("sqlite://", poolclass=sa.NullPool)
    get_session(engine)
    pytest.kept = engine.connect()
"""
        )
        result.stdout.fnmatch_lines(
            ["connection not released: shop/db.py:9 *", "connection not released: test_shop.py:7 test_one"]
        )

    def test_the_end_of_its_knowledge_is_told(self, run):
        """Where more connections are out than can be watched, a warning says that leaks may be missed."""
        result = run(
            """
@pytest.mark.ullage_leaks_allowed
def test_many():
    engine = sa.create_engine("sqlite://", poolclass=sa.NullPool)
    pytest.kept = [engine.connect() for _ in range(300)]

def test_one(): pass
def test_two(): pass
"""
        )
        result.assert_outcomes(passed=3, warnings=1)
        result.stdout.fnmatch_lines(["*--ullage-leaks may miss leaks from here on: more than 256 connections*"])


class TestInnocents:
    """What passes."""

    def test_what_is_returned_in_time_is_no_leak(self, run):
        """Blocks, fixtures that close, fixtures that outlive the test, and a dropped connection pass."""
        result = run(
            """
import sqlalchemy.orm

def test_block(engine):
    with sa.orm.Session(engine) as session:
        session.execute(sa.text("SELECT 1"))

def test_fixture(session):
    session.execute(sa.text("SELECT 1"))

def test_fixture_that_outlives_the_test(shared):
    shared.execute(sa.text("SELECT 1"))

def test_fixture_that_is_asked_for_late(request):
    request.getfixturevalue("late").execute(sa.text("SELECT 1"))

@pytest.fixture(scope="module")
def late(engine):
    with engine.connect() as connection:
        connection.execute(sa.text("SELECT 1"))
        yield connection

def test_dropped(engine):
    engine.connect()

def test_removed_by_a_finalizer(engine, request):
    Session = sa.orm.scoped_session(sa.orm.sessionmaker(engine))
    request.addfinalizer(Session.remove)
    Session.execute(sa.text("SELECT 1"))
"""
        )
        result.assert_outcomes(passed=6)

    def test_a_marked_test_may_leak(self, run):
        """The marker lets one test keep its connection; the next test is not blamed for it."""
        result = run(
            """
@pytest.mark.ullage_leaks_allowed
def test_marked(engine):
    get_session(engine)

def test_next(engine):
    pass
"""
        )
        result.assert_outcomes(passed=2)

    def test_a_test_that_did_not_pass_is_not_judged(self, run):
        """Failed, xfailed and skipped tests are what they are without the check, and nobody else is blamed."""
        tests = """
def test_failed(engine):
    get_session(engine)
    assert False

@pytest.mark.xfail
def test_xfail(engine):
    get_session(engine)
    assert False

def test_skip(engine):
    get_session(engine)
    pytest.skip("here")

def test_next(engine):
    pass
"""
        run(tests).assert_outcomes(passed=1, failed=1, xfailed=1, skipped=1)

    def test_an_xfail_covers_the_leak_of_a_test(self, run):
        """A test that is expected to fail and fails by its leak alone is no error."""
        result = run("@pytest.mark.xfail\ndef test_one(engine):\n    get_session(engine)\n")
        result.assert_outcomes(xpassed=1, xfailed=1)
        assert result.ret == pytest.ExitCode.OK


class TestSwitch:
    """On by an option or by the project's configuration, else nothing."""

    LEAK = "@pytest.mark.usefixtures()\ndef test_one(engine):\n    get_session(engine)\n"

    def test_off_is_the_default_and_loads_nothing(self, run, pytester):
        """Without the switch the leak passes, the marker is known, and the plugin imports no sqlalchemy."""
        run("@pytest.mark.ullage_leaks_allowed\n" + self.LEAK, check=False).assert_outcomes(passed=1)
        pytester.makeconftest("")
        pytester.makepyfile(
            test_shop="""
            import sys

            def test_one(pytestconfig):
                assert pytestconfig.pluginmanager.has_plugin("ullage")
                assert "sqlalchemy" not in sys.modules
                found = {name for name in sys.modules if name.startswith("ullage.")}
                assert found == {"ullage.policy", "ullage.pytest_plugin"}
            """
        )
        pytester.runpytest_subprocess().assert_outcomes(passed=1)

    def test_the_projects_configuration_switches_it_on(self, run, pytester):
        """`ullage_leaks = true` does what the option does."""
        pytester.makeini("[pytest]\nullage_leaks = true\n")
        run(self.LEAK, check=False).assert_outcomes(passed=1, errors=1)

    def test_a_missing_sqlalchemy_is_an_error_of_usage(self, pytester):
        """Asking for the check where it cannot work is one line, not a run that checks nothing."""
        pytester.makepyfile(sqlalchemy="raise ImportError('no sqlalchemy here')", test_shop="def test_one(): pass")
        result = pytester.runpytest_subprocess("--ullage-leaks")
        result.stderr.fnmatch_lines(["ERROR: --ullage-leaks: no sqlalchemy here; install it, or switch the check off"])
        assert result.ret == pytest.ExitCode.USAGE_ERROR
