"""Applications of eight shapes that never mention ullage: observed by injection alone, and not changed by it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.promises.conftest import IS_FULL
from tests.promises.injected import environments
from tests.promises.injected.applications import APPLICATIONS, APPS, Application, Leak
from tests.promises.injected.stage import Outcome, Stage
from tests.promises.injected.transcript import DIFFERENT, difference, ours, without_ours
from tests.promises.injected.troubles import TROUBLES, Trouble
from tests.promises.readings import Page
from tests.servers import MariaDB, Redis

pytestmark = [pytest.mark.promise, pytest.mark.timeout(900)]

# Every day those that the libraries of this environment suffice for; the others take environments of their own.
EVERY_DAY = ("flask_sqlalchemy_3", "several_engines")
CHOSEN = [application for application in APPLICATIONS if IS_FULL or application.name in EVERY_DAY]
TROUBLESOME = TROUBLES if IS_FULL else [trouble for trouble in TROUBLES if trouble.name == "a missing directory"]
TROUBLED = [application for application in CHOSEN if IS_FULL or application.name == "several_engines"]
OLD_PYTHONS = ("3.9", "3.8")

each = pytest.mark.parametrize("application", CHOSEN, ids=lambda application: application.name)
full_only = pytest.mark.skipif(not IS_FULL, reason="takes environments of its own: make promises")


@pytest.fixture(scope="module")
def stage(mariadb: MariaDB, redis_server: Redis) -> Iterator[Stage]:
    """Give a place to run the applications."""
    with Stage(mariadb, redis_server, is_pinned=IS_FULL) as stage:
        yield stage


def assert_unchanged(plain: Outcome, found: Outcome, application: Application) -> list[str]:
    """Assert that nobody saw a difference; return the lines that ullage printed."""
    assert difference(plain.transcript.answers(), found.transcript.answers()) == ""
    logged = found.transcript.logged()
    assert difference(plain.transcript.logged(), without_ours(logged)) == ""
    # One line a process at most: of each command, of each process that serves, and of each work horse.
    processes = found.transcript.commands() + application.workers + sum(application.jobs.values())
    assert len(ours(logged)) <= processes
    return ours(logged)


def by_role(page: Page, name: str, **labels: str) -> dict[str, float]:
    """Add up a metric of what serves and what works on jobs."""
    return {role: page.total(name, role=role, **labels) for role in ("web", "worker")}


class TestMeasured:
    """Injection alone gives right metrics, and answers and outputs are those of the application without it."""

    @each
    def test_nobody_sees_a_difference(self, stage, application):
        """Answers, exit statuses and outputs are the same byte for byte."""
        found = stage.play(application, stage.injection(application))
        assert assert_unchanged(stage.plain(application), found, application) == []
        self.assert_right(found, application, stage.place(application) / "code")
        print(f"\npromise injected, {application.name}: {found.transcript.requests()} requests as without ullage")

    def assert_right(self, found: Outcome, application: Application, code: Path) -> None:
        """Compare what was measured with what was done."""
        page = found.page
        assert by_role(page, "sqlalchemy_pool_checkouts_total") == application.checkouts
        if application.by_engine:
            assert page.by("sqlalchemy_pool_checkouts_total", "engine", role="web") == application.by_engine
        opened = page.total("sqlalchemy_pool_connections_opened_total")
        in_a_file = page.total("sqlalchemy_pool_connections_opened_total", engine="archive")
        assert opened - in_a_file == found.connections
        assert page.total("flask_requests_total", role="web") == found.transcript.requests()
        assert page.total("ullage_dropped_series_total") == page.total("ullage_unreadable_segments") == 0
        self.assert_stale(found, application)
        self.assert_leaks(page, application, code)
        assert self.jobs(page) == application.jobs

    def assert_stale(self, found: Outcome, application: Application) -> None:
        """Each connection that the server had closed was replaced unseen, or its user got the error; both count."""
        retries = by_role(found.page, "sqlalchemy_pool_stale_connection_retries_total", outcome="success")
        errors = found.page.total("sqlalchemy_pool_stale_connections_total", detected_by="statement", role="web")
        assert retries["worker"] == application.worker_retries
        assert errors == (0 if application.has_pre_ping else 1)
        if application.workers == 1:
            assert retries["web"] == (1 if application.has_pre_ping else 0)
        else:  # a worker that had no connection yet replaced none
            first = found.page.total("sqlalchemy_pool_connections_opened_total", role="web") - retries["web"]
            assert 1 <= first <= application.workers

    def assert_leaks(self, page: Page, application: Application, code: Path) -> None:
        """Each connection that was forgotten is named by who checked it out, and where."""
        kinds = {role: page.by("ullage_leaks_total", "kind", role=role) for role in ("web", "worker")}
        died = {"died_with_process": application.killed_jobs} if application.killed_jobs else {}
        assert kinds == {"web": {"held_at_request_end": 1}, "worker": {"held_at_job_end": 1, **died}}
        self.assert_site(page, "web", "/export", application.web_leak, code)
        function = next(function for function, _ in application.jobs if function.endswith(".export"))
        self.assert_site(page, "worker", function, application.job_leak, code)

    def assert_site(self, page: Page, role: str, function: str, leak: Leak, code: Path) -> None:
        """Compare file, line and function with the source."""
        sites = page.by("sqlalchemy_unreleased_sessions_total", "site", role=role, function=function)
        ((site, count),) = sites.items()
        assert count == 1
        path, number, name = re.fullmatch(r"(.*):(\d+) (.*)", site).groups()
        assert (Path(path).name, int(number), name.rpartition(".")[2]) == leak.find(code)

    def jobs(self, page: Page) -> dict[tuple[str, str], float]:
        """Return the jobs by function and outcome."""
        samples = ((name, dict(labels), value) for (name, labels), value in page.samples.items())
        return {(of["function"], of["outcome"]): value for name, of, value in samples if name == "rq_jobs_total"}

    @full_only
    def test_what_is_left_out_of_the_comparison(self, stage):
        """Two runs without ullage differ in nothing else, and in each of these."""
        differing = set()
        for application in CHOSEN:
            one, other = stage.plain(application).transcript, stage.play(application).transcript
            assert difference(one.answers() + one.logged(), other.answers() + other.logged()) == ""
            shown = one.show(), other.show()
            differing |= {
                what for what, found in DIFFERENT.items() if found.findall(shown[0]) != found.findall(shown[1])
            }
        assert differing == set(DIFFERENT)


class TestTrouble:
    """Whatever is wrong with the injection, the application is as it is without, and the process knows the reason."""

    @pytest.mark.parametrize("trouble", TROUBLESOME, ids=lambda trouble: trouble.name)
    @pytest.mark.parametrize("application", TROUBLED, ids=lambda application: application.name)
    def test_trouble(self, stage, application, trouble):
        """Answers, exit statuses and outputs are the same, metrics are absent, and `ullage doctor` names the reason."""
        injection = trouble.make(stage.injection(application))
        found = stage.play(application, injection)
        printed = assert_unchanged(stage.plain(application), found, application)
        self.assert_absent(found.page, trouble)
        report = stage.report(application, injection)
        assert trouble.explained_by(report), report
        assert trouble.is_of_one_probe or not report["segment"]
        printed_by_doctor = stage.doctor(application, injection)
        assert trouble.diagnosed_by(printed_by_doctor), printed_by_doctor
        print(f"\npromise injected, {application.name}, {trouble.name}: unchanged, {len(printed)} lines on stderr")

    def assert_absent(self, page: Page, trouble: Trouble) -> None:
        """Assert that nothing is measured by what has the trouble."""
        assert page.total("sqlalchemy_pool_checkouts_total") == 0
        if not trouble.is_of_one_probe:
            assert [name for name, _ in page.samples if not name.startswith("ullage_")] == []
            assert page.total("ullage_segments") == 0

    @full_only
    @pytest.mark.parametrize("version", OLD_PYTHONS)
    def test_a_python_that_is_too_old(self, stage, version):
        """An application on an old Python, where this machine has one, is left alone by the real check."""
        base = environments.of_version(version)
        if base is None:
            pytest.skip(f"no Python {version} on this machine; get one by: uv python install {version}")
        application = APPLICATIONS[0]
        requirements = [APPS / application.name / "requirements.txt"]
        python = environments.pinned(f"{application.name}-{version}", requirements, base)
        injection = stage.injection(application)
        found = stage.play(application, injection, python)
        printed = assert_unchanged(stage.plain(application, python), found, application)
        assert printed
        assert all("it needs CPython 3.10 or later" in line for line in printed)
        assert list(injection.segments.iterdir()) == []
