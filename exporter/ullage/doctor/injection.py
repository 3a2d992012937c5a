"""What becomes of a process that is started in a given way: tried in a new interpreter, and put into words."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ullage import __version__
from ullage.doctor import libraries, observers, trial
from ullage.doctor.finding import Finding, fail, ok, warn
from ullage.doctor.startup import ROOT, SITE, Startup
from ullage.inject.hook import OLDEST
from ullage.probe.install import ELSEWHERE, INSTALLED, WAITING

TRIAL_SECONDS = 60.0
_EXPLICIT = "ullage.install(), ullage.wsgi:app, `ullage worker` or ?plugin=ullage in the database's URL"
_LAST = f"let ullage-run come last, such as: opentelemetry-instrument {ROOT}/ullage-run COMMAND"
_BY_LAUNCHER = f"start it by {ROOT}/ullage-run COMMAND, or put {SITE} first in PYTHONPATH"


@dataclass(frozen=True)
class Trial:
    """What a new interpreter said; `problem` is why it said nothing."""

    startup: Startup
    found: Mapping[str, Any]
    problem: str = ""


def attempt(startup: Startup) -> Trial:
    """Start an interpreter in the same way, without the application, and ask it."""
    text = Path(trial.__file__).read_text(encoding="utf-8")
    given = json.dumps({"root": str(ROOT), "distributions": observers.DISTRIBUTIONS, "packages": observers.PACKAGES})
    # -B, so that it leaves no bytecode.
    command = [startup.executable, "-B", *(f"-{flag}" for flag in startup.flags), "-c", text, given]
    try:
        done = subprocess.run(  # noqa: S603 - what the application was started with
            command,
            env=dict(startup.environ),
            cwd=startup.directory,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=TRIAL_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return Trial(startup, {}, str(error) if isinstance(error, OSError) else f"no end after {TRIAL_SECONDS:g} s")
    for line in reversed(done.stdout.splitlines()):
        if line.startswith(trial.MARKER):
            return Trial(startup, json.loads(line.removeprefix(trial.MARKER)))
    last = (done.stderr.strip().splitlines() or ["it printed nothing"])[-1]
    return Trial(startup, {}, f"exit status {done.returncode}: {last}")


def examine(tried: Trial) -> Iterator[Finding]:
    """Say what is hooked in a process that is started so, and what not and why."""
    if tried.problem:
        text = f"{tried.startup.who}: {tried.startup.executable} could not be tried: {tried.problem}"
        yield fail("python", text, "run the doctor by the application's own Python")
        return
    found = tried.found
    yield _python(tried)
    yield from _package(found)
    yield _route(tried)
    if found["customize"] and found["is_injected"]:
        yield ok("injection", f"the application's own customization ran too: {', '.join(found['customize'])}")
    yield from libraries.examine(found["versions"])
    yield from _probes(found)
    yield from observers.examine(found)


def _python(tried: Trial) -> Finding:
    found = tried.found
    flags = "".join(f" -{flag}" for flag in tried.startup.flags)
    name = {"cpython": "CPython"}.get(found["implementation"], found["implementation"])
    text = f"{tried.startup.who}: {name} {found['python']}, {tried.startup.executable}{flags}"
    if found["implementation"] != "cpython" or tuple(map(int, found["python"].split("."))) < OLDEST:
        return fail("python", text, "ullage needs CPython 3.10 or later; the application runs unmeasured")
    if found["free_threaded"]:
        text += ", without the GIL, where the probe's counters would lose increments"
        return fail("python", text, "run with PYTHON_GIL=1, or the ordinary build of Python")
    return ok("python", text)


def _package(found: Mapping[str, Any]) -> Iterator[Finding]:
    if found["package"]:
        yield ok("ullage", f"{found['version']} from {found['package']}")
    used = os.path.realpath(found["package"])
    for other in found["copies"]:
        if other != used:
            text = f"a second copy, which is not used: {other}"
            yield warn("ullage", text, "keep one: the injected or the installed one")
    if found["package"] and found["version"] != __version__:
        text = f"the application finds that version, and the doctor is {__version__} in {ROOT / 'ullage'}"
        yield warn("ullage", text, "use one version of both")


def _route(tried: Trial) -> Finding:
    hindered = obstacle(tried)
    if hindered:
        return fail("injection", *hindered)
    found = tried.found
    if not found["is_injected"]:
        return ok("injection", f"none; this Python is measured once the application takes {_EXPLICIT}")
    site = f"{found['root']}/site"
    text = f"by {site}, entry {_place(tried.startup, site)} of PYTHONPATH"
    return ok("injection", f"{text}, switched off: {found['reason']}" if found["reason"] else text)


def _place(startup: Startup, site: str) -> str:
    places = [f"{place} of {len(startup.path)}" for place, entry in enumerate(startup.path, 1) if entry == site]
    return places[0] if places else f"({os.pathsep.join(startup.path)})"


def obstacle(tried: Trial) -> tuple[str, str] | None:
    """Return why a process that is started so measures nothing, and the next step; None when nothing is in the way."""
    startup, found = tried.startup, tried.found
    if tried.problem or found["is_injected"]:
        return _reason(found) if found else None
    gone = [entry for entry in startup.path if "ullage" in entry and not Path(entry).is_dir()]
    if gone:
        step = "mount the volume there, and see whether its init container ran: kubectl describe pod"
        return f"PYTHONPATH leads to {gone[0]}, which is not there", step
    leads = startup.injected
    ignored = [flag for flag in startup.flags if flag in "IE"]
    if leads and ignored:
        return f"python -{ignored[0]} ignores PYTHONPATH", f"start it without -{ignored[0]}, or use {_EXPLICIT}"
    if leads and "S" in startup.flags:
        return "python -S runs no sitecustomize", f"start it without -S, or use {_EXPLICIT}"
    if leads:
        ran = ", ".join(found["customize"]) or "nothing"
        return f"{leads[0]}/sitecustomize.py is hidden by what is found before it: {ran}", _LAST
    if SITE.is_dir():
        path = startup.environ.get("PYTHONPATH", "")
        return f"PYTHONPATH={path!r} does not lead to {SITE}", _BY_LAUNCHER
    if not found["is_importable"]:
        return f"ullage is not on this Python's path: it is in {ROOT}", "install it there, or inject it"
    return None


def _reason(found: Mapping[str, Any]) -> tuple[str, str] | None:
    reason = found["reason"]
    # The settings say this one.
    if not reason or reason.startswith("ULLAGE_ENABLED"):
        return None
    step = "use an image with it" if "needs" in reason else "copy the package into the volume again"
    return f"ullage's sitecustomize ran, and did nothing: {reason}", step


def _probes(found: Mapping[str, Any]) -> Iterator[Finding]:
    if found["error"] and not found["probes"]:
        if found["error"] != found["reason"]:
            yield fail("probes", f"none: {found['error']}", "keep one copy of ullage on this Python's path, the newest")
        return
    states = found["probes"]
    installed = [name for name, state in states.items() if state in (INSTALLED, ELSEWHERE)]
    if installed:
        yield ok("probes", f"install: {', '.join(installed)}")
    missing = [name for name, state in states.items() if state == WAITING and _is_missing(found["imports"], name)]
    if missing:
        yield ok("probes", f"have nothing to measure, as their libraries are not installed: {', '.join(missing)}")
    for name, state in states.items():
        if state not in (INSTALLED, ELSEWHERE, WAITING):
            step = "see the versions above; the other probes work"
            yield fail("probes", f"{name} cannot be installed: {state}", step)
    for name, problem in found["imports"].items():
        if problem not in ("", "missing"):
            yield fail("probes", f"{name} cannot be imported: {problem}", "repair the application's installation")


def _is_missing(imports: Mapping[str, str], probe: str) -> bool:
    from ullage.probe.install import PROBES

    return any(imports.get(name) == "missing" for name in PROBES[probe])
