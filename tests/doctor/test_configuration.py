"""The settings: what is in force and from where, what was refused, and what is no setting."""

from __future__ import annotations

from pathlib import Path

from ullage.doctor.configuration import examine, in_force


def said(environ: dict[str, str], *marks: str) -> list[str]:
    """Return the lines with these marks, without mark and check."""
    return [finding.line()[17:] for finding in examine(environ) if finding.mark in marks]


def test_sources():
    """What was set is named with its value, as it was understood; the rest is counted."""
    (line,) = said({"ULLAGE_PRE_PING": " Enforce ", "ULLAGE_ROLE": "", "OTHER": "x"}, "ok", "warn", "fail")
    assert line == "from the environment: ULLAGE_PRE_PING=enforce; by default: the other 16"
    found = {setting.name: setting for setting in in_force({"ULLAGE_DIR": "/x"})}
    assert (found["ULLAGE_DIR"].value, found["ULLAGE_DIR"].source) == (str(Path("/x")), "environment")
    assert (found["ULLAGE_ROLE"].value, found["ULLAGE_ROLE"].source) == ("app", "default")


def test_refused():
    """A bad value is named with what is allowed and what is used in its place."""
    (line,) = said({"ULLAGE_LEAK_THRESHOLD_SECONDS": "soon"}, "fail")
    assert line == (
        "ULLAGE_LEAK_THRESHOLD_SECONDS='soon' is not allowed: it takes a number of seconds above 0; "
        "in use is the default, 60; correct it"
    )


def test_a_misspelled_name():
    """A name that is no setting is named with the one that it may stand for."""
    (line,) = said({"ULLAGE_POLICI": "strict"}, "warn")
    assert line == "ULLAGE_POLICI is no setting of this version and has no effect; did you mean ULLAGE_POLICY?"
    (line,) = said({"ULLAGE_QQQ": ""}, "warn")
    assert line.endswith("; docs/settings.md has those that there are")


def test_what_kubernetes_sets():
    """The variables that Kubernetes makes of Services named ullage or ullage-shop are not the user's."""
    names = ("PORT", "PORT_9145_TCP", "PORT_9145_TCP_ADDR", "SERVICE_HOST", "SERVICE_PORT", "SERVICE_PORT_METRICS")
    of_services = {f"{prefix}_{name}": "10.0.0.1" for name in names for prefix in ("ULLAGE", "ULLAGE_SHOP_WEB")}
    assert said(of_services | {"ULLAGE_PORT": "tcp://10.0.0.1:9145"}, "warn", "fail") == []


def test_switched_off():
    """ULLAGE_ENABLED=0 is why nothing is measured."""
    (line,) = said({"ULLAGE_ENABLED": "Off"}, "fail")
    assert line == "ULLAGE_ENABLED=Off: nothing is measured; take it out, or set it to 1, and restart the process"
