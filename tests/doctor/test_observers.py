"""OpenTelemetry and Sentry beside ullage, and a SQLAlchemy that is too old: real ones, in environments of their own."""

from __future__ import annotations

import os

import pytest

from tests.doctor.conftest import Pod
from tests.doctor.test_injection import PROGRAM, said, tried
from tests.promises.injected.environments import pinned
from tests.servers import MissingComponentError

pytestmark = [
    pytest.mark.promise,
    pytest.mark.skipif(os.environ.get("ULLAGE_PROMISES") != "full", reason="needs packages; set ULLAGE_PROMISES=full"),
]
OBSERVED = (
    *("flask==3.1.3", "sqlalchemy==2.0.44", "rq==2.6.0", "opentelemetry-distro==0.59b0", "sentry-sdk==2.44.0"),
    *("opentelemetry-instrumentation-flask==0.59b0", "opentelemetry-instrumentation-sqlalchemy==0.59b0"),
)


def use(pod: Pod, name: str, *requirements: str) -> None:
    """Give the container these packages."""
    try:
        pod.python = pinned(name, requirements)
    except MissingComponentError as error:
        pytest.skip(str(error))


def start_with_opentelemetry(pod: Pod, wait_for, *launchers: str) -> None:
    """Start a program by two launchers, and wait until it uses SQLAlchemy."""
    environ = dict.fromkeys(("OTEL_TRACES_EXPORTER", "OTEL_METRICS_EXPORTER", "OTEL_LOGS_EXPORTER"), "none")
    pod.start_plain(*launchers, str(pod.python), "-c", PROGRAM, **environ)
    wait_for((pod.work / "ready").exists, 60, "the program")


def test_opentelemetry(pod, wait_for):
    """A process that `opentelemetry-instrument ullage-run` started is measured, and what else is wrapped is said."""
    use(pod, "doctor-observers", *OBSERVED)
    telemetry = str(pod.python.with_name("opentelemetry-instrument"))
    start_with_opentelemetry(pod, wait_for, telemetry, str(pod.volume / "ullage-run"))
    found = pod.ask()
    assert (found.status, found.last) == (0, "all is well")
    telemetry, sentry = found.said("others").splitlines()
    wraps = "sqlalchemy.create_engine, sqlalchemy.engine.Engine.connect, flask.Flask"
    assert telemetry == f"OpenTelemetry 0.59b0 wraps {wraps}"
    assert sentry == "Sentry 2.44.0 is installed, and not loaded until the application imports it"
    assert "/auto_instrumentation/sitecustomize.py" in found.said("injection")
    assert found.said("probes") == "install: pool, flask, rq, session"
    assert "probes up: flask, pool, pools of sqlite:" in found.said("segments")


def test_opentelemetry_in_front(pod, wait_for):
    """Its sitecustomize runs no other, and a virtual environment runs no usercustomize: the order to use is said."""
    use(pod, "doctor-observers", *OBSERVED)
    telemetry = str(pod.python.with_name("opentelemetry-instrument"))
    start_with_opentelemetry(pod, wait_for, str(pod.volume / "ullage-run"), telemetry)
    found = pod.ask()
    assert found.status == 1
    line = found.said("injection")
    assert line.startswith(f"{pod.volume}/site/sitecustomize.py is hidden by what is found before it: ")
    assert line.endswith(
        f"; let ullage-run come last, such as: opentelemetry-instrument {pod.volume}/ullage-run COMMAND"
    )
    assert f"is not measured: {line}" in found.said("processes", "fail")


def test_sentry(pod):
    """Where it is set up before the application starts, what it wraps is said, and all probes install."""
    use(pod, "doctor-observers", *OBSERVED)
    (pod.work / "own").mkdir()
    (pod.work / "own" / "sitecustomize.py").write_text("import sentry_sdk; sentry_sdk.init()")
    findings = tried(pod, pod.work / "own")
    (line,) = [line for line in said(findings, "others") if line.startswith("Sentry")]
    assert line.startswith("Sentry 2.44.0 wraps ")
    assert "flask.Flask.__call__" in line
    assert "rq.worker.Worker.perform_job" in line
    assert said(findings, "probes") == ["install: pool, flask, rq, session"]


def test_an_old_sqlalchemy(pod):
    """A version that is not supported is named, whatever becomes of the probes."""
    use(pod, "doctor-old", "flask==3.1.3", "sqlalchemy==1.3.24", "rq==2.6.0")
    findings = tried(pod)
    assert said(findings, "libraries", "fail") == [
        "sqlalchemy 1.3.24 is older than 1.4, the oldest that is supported; upgrade sqlalchemy"
    ]
