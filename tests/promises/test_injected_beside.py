"""OpenTelemetry, Sentry, Datadog and New Relic beside injected ullage, whichever is installed first: all report."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.promises.conftest import IS_FULL
from tests.promises.injected import environments
from tests.promises.injected.applications import APPLICATIONS, APPS, Application
from tests.promises.injected.container import Image
from tests.promises.injected.receiver import Receiver, receiving
from tests.promises.injected.stage import Outcome, Stage
from tests.promises.injected.transcript import difference, ours
from tests.promises.test_injected_apps import by_role
from tests.servers import MariaDB, Redis

pytestmark = [
    pytest.mark.promise,
    pytest.mark.timeout(900),
    pytest.mark.skipif(not IS_FULL, reason="takes environments of its own: make promises"),
]

PEERS = Path(__file__).parent / "injected" / "peers"
SHOP = next(application for application in APPLICATIONS if application.name == "flask_sqlalchemy_3")
ORDERS = pytest.mark.parametrize("is_agent_first", [False, True], ids=["the launcher first", "the agent first"])
# Spans go to stdout; nothing else is sent anywhere.
OPENTELEMETRY = {
    "OTEL_TRACES_EXPORTER": "console",
    "OTEL_METRICS_EXPORTER": "none",
    "OTEL_LOGS_EXPORTER": "none",
    "OTEL_PYTHON_LOG_CORRELATION": "false",
}
DATADOG = {"DD_INSTRUMENTATION_TELEMETRY_ENABLED": "false", "DD_REMOTE_CONFIGURATION_ENABLED": "false"}
# Developer mode speaks to nobody; the first request waits until its agent is there, or what it measures is chance.
NEW_RELIC = {
    "NEW_RELIC_DEVELOPER_MODE": "true",
    "NEW_RELIC_LICENSE_KEY": "0" * 40,
    "NEW_RELIC_APP_NAME": "shop",
    "NEW_RELIC_STARTUP_TIMEOUT": "30",
}


@pytest.fixture(scope="module")
def stage(mariadb: MariaDB, redis_server: Redis) -> Iterator[Stage]:
    """Give a place to run the applications."""
    with Stage(mariadb, redis_server, is_pinned=True) as stage:
        yield stage


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """Give a server that agents send to."""
    with receiving() as receiver:
        yield receiver


def python_with(peer: str) -> Path:
    """Return the Python of an environment with the shop's requirements and a peer's."""
    return environments.pinned(peer, [APPS / SHOP.name / "requirements.txt", PEERS / f"requirements-{peer}.txt"])


def shop(module: str = "", worker: tuple[str, ...] = (), **image: Any) -> Application:
    """Return the shop on one process, with another image; its log is what is printed on stdout."""
    serve = [word for word in SHOP.serve if word not in ("--workers", "2")]
    if module:
        serve[-1] = f"{module}:app"
    work = (*worker, *SHOP.work[1:]) if worker else SHOP.work
    changed = Image(SHOP.name, has_launcher=not module, log="stdout", **image)
    return dataclasses.replace(SHOP, image=changed, serve=tuple(serve), work=work, workers=1)


def assert_unchanged(stage: Stage, application: Application, found: Outcome, python: Path) -> None:
    """Assert that the application with the peer alone answers and prints the same."""
    plain = stage.play(application, python=python)
    assert difference(plain.transcript.answers(), found.transcript.answers()) == ""
    assert difference(errors_of(plain), errors_of(found)) == ""


def errors_of(outcome: Outcome) -> list[str]:
    """Return the lines of stderr but those in which an agent names spans by their random numbers."""
    return [line for line in outcome.transcript.errors() if "span_id=" not in line]


def assert_measured(found: Outcome) -> None:
    """Assert that ullage counted what was done."""
    assert by_role(found.page, "sqlalchemy_pool_checkouts_total") == SHOP.checkouts
    assert found.page.total("flask_requests_total", role="web") == found.transcript.requests()
    assert found.page.total("rq_jobs_total") == len(SHOP.jobs)
    assert found.page.by("ullage_leaks_total", "kind") == {"held_at_request_end": 1, "held_at_job_end": 1}
    retries = found.page.total("sqlalchemy_pool_stale_connection_retries_total", role="web", outcome="success")
    assert retries == 1
    assert ours(found.transcript.errors()) == []


def spans_of(printed: str) -> Counter[str]:
    """Count the spans that OpenTelemetry printed: of requests, and of checkouts."""
    kinds: Counter[str] = Counter()
    decoder = json.JSONDecoder()
    while start := printed.find("{") + 1:
        span, end = decoder.raw_decode(printed, start - 1)
        printed = printed[end:]
        kinds["request" if span["kind"] == "SpanKind.SERVER" else span["name"]] += 1
    return kinds


class TestOpenTelemetry:
    """Its Flask and SQLAlchemy instrumentation."""

    def test_its_command_in_front_of_the_launcher(self, stage):
        """`opentelemetry-instrument ullage-run gunicorn`: as many spans as requests and checkouts."""
        python = python_with("opentelemetry")
        application = shop(environ=OPENTELEMETRY, agent=("opentelemetry-instrument",), is_agent_first=True)
        found = stage.play(application, stage.injection(application), python)
        assert_measured(found)
        self.assert_agreement(found)
        assert_unchanged(stage, application, found, python)

    def test_its_directory_in_front_of_ours(self, stage):
        """Its operator's PYTHONPATH leads to its sitecustomize first: outside virtual environments both report."""
        python = Path(sys.executable).resolve()
        packages = next(python_with("opentelemetry").parents[1].glob("lib/python*/site-packages"))
        theirs = f"{packages}/opentelemetry/instrumentation/auto_instrumentation"
        application = shop(environ={**OPENTELEMETRY, "PYTHONPATH": f"{theirs}:{packages}"})
        serve, work = ("python", "-m", *application.serve), ("python", "-m", "rq.cli", *application.work[1:])
        application = dataclasses.replace(application, serve=serve, work=work)
        injection = stage.injection(application)
        both = f"{theirs}:{injection.volume}/site:{packages}"
        image = dataclasses.replace(application.image, has_launcher=False)
        injected = dataclasses.replace(application, image=image)
        found = stage.play(injected, dataclasses.replace(injection, environ={"PYTHONPATH": both}), python)
        assert_measured(found)
        self.assert_agreement(found, "python")
        assert_unchanged(stage, application, found, python)

    def test_its_command_behind_the_launcher(self, stage):
        """`ullage-run opentelemetry-instrument gunicorn` puts its sitecustomize first: it reports, and nothing breaks.

        In a virtual environment Python then never finds ours; docs/injection.md says which order to take.
        """
        python = python_with("opentelemetry")
        application = shop(environ=OPENTELEMETRY, agent=("opentelemetry-instrument",))
        found = stage.play(application, stage.injection(application), python)
        spans = spans_of(found.transcript.printed("gunicorn"))
        assert (spans["request"], spans["connect"]) == (found.transcript.requests(), SHOP.checkouts["web"])
        assert_unchanged(stage, application, found, python)

    @ORDERS
    def test_by_a_program(self, stage, is_agent_first):
        """Its instrumentors after ours, which the import installs, and before ours, by `ullage.install()`."""
        python = python_with("opentelemetry")
        found, application = play_module(stage, "opentelemetry_web", is_agent_first, python, {})
        self.assert_agreement(found)
        assert_unchanged(stage, application, found, python)

    def assert_agreement(self, found: Outcome, program: str = "gunicorn") -> None:
        """Compare its spans with our counts."""
        spans = spans_of(found.transcript.printed(program))
        assert spans["request"] == found.page.total("flask_requests_total", role="web") == found.transcript.requests()
        checkouts = found.page.total("sqlalchemy_pool_checkouts_total", role="web")
        assert spans["connect"] == checkouts == SHOP.checkouts["web"]
        print(f"\npromise beside OpenTelemetry: {dict(spans)}")


def play_module(
    stage: Stage, module: str, is_agent_first: bool, python: Path, environ: dict[str, str], **options: Any
) -> tuple[Outcome, Application]:
    """Play the shop by a module that sets a peer up; return it as it is without ullage, too."""
    path = {"PYTHONPATH": f"{PEERS}:{{code}}"}
    application = shop(module, environ={**path, **environ}, **options)
    injection = stage.injection(application)
    if not is_agent_first:
        return stage.play(application, injection, python), application
    last = shop("installed_last", environ={**path, **environ, "PEER": module}, **options)
    explicit = {"PYTHONPATH": f"{PEERS}:{stage.place(application)}/code", "PEER_VOLUME": str(injection.volume)}
    return stage.play(last, dataclasses.replace(injection, environ=explicit), python), application


class TestSentry:
    """Its Flask, SQLAlchemy and RQ integrations, with performance tracing on."""

    @ORDERS
    def test_by_a_program(self, stage, receiver, is_agent_first):
        """`sentry_sdk.init` after ours, which the import installs, and before ours, by `ullage.install()`."""
        python = python_with("sentry")
        environ = {"SENTRY_DSN": receiver.sentry_dsn}
        worker = ("python", str(PEERS / "sentry_worker.py"))
        found, application = play_module(stage, "sentry_web", is_agent_first, python, environ, worker=worker)
        self.assert_agreement(found, receiver, is_agent_first)
        assert_unchanged(stage, application, found, python)

    def assert_agreement(self, found: Outcome, receiver: Receiver, is_agent_first: bool) -> None:
        """Compare its transactions and errors with our counts."""
        transactions = Counter(item["contexts"]["trace"]["op"] for item in receiver.of_type("transaction"))
        errors = receiver.of_type("event")
        assert transactions["http.server"] == found.transcript.requests()
        assert transactions["queue.task.rq"] == len(SHOP.jobs)
        assert sorted(error["exception"]["values"][-1]["type"] for error in errors) == [
            "ValueError",
            "ZeroDivisionError",
        ]
        print(f"\npromise beside Sentry: {dict(transactions)}, {len(errors)} errors")
        assert found.page.total("flask_requests_total", role="web") == transactions["http.server"]
        assert found.page.total("sqlalchemy_pool_checkouts_total", role="web") == SHOP.checkouts["web"]
        if not is_agent_first:  # else the worker is not injected
            assert_measured(found)


class TestAgents:
    """Agents that replace the command."""

    @ORDERS
    def test_datadog(self, stage, receiver, is_agent_first):
        """`ddtrace-run` before and after our launcher: the application is the same, and measured."""
        python = python_with("ddtrace")
        environ = {**DATADOG, "DD_TRACE_AGENT_URL": f"http://127.0.0.1:{receiver.port}"}
        application = shop(environ=environ, agent=("ddtrace-run",), is_agent_first=is_agent_first)
        found = stage.play(application, stage.injection(application), python)
        assert "/info" in receiver.paths  # its tracer was there, and asked for its agent
        assert_measured(found)
        assert_unchanged(stage, application, found, python)

    @ORDERS
    def test_new_relic(self, stage, is_agent_first):
        """`newrelic-admin run-program` before and after our launcher: the application is the same, and measured."""
        python = python_with("newrelic")
        agent = ("newrelic-admin", "run-program")
        application = shop(environ=NEW_RELIC, agent=agent, is_agent_first=is_agent_first)
        found = stage.play(application, stage.injection(application), python)
        assert_measured(found)
        assert_unchanged(stage, application, found, python)
