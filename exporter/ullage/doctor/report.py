"""The whole report: where the doctor stands, what it looks at there, and how that is printed."""

from __future__ import annotations

import dataclasses
import json
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ullage import __version__
from ullage.doctor import configuration, directory, injection, processes, segments, traffic
from ullage.doctor.finding import FAIL, WARN, Finding, fail, ok, warn, worst
from ullage.doctor.injection import Trial
from ullage.doctor.processes import PythonProcess
from ullage.doctor.startup import Startup, own
from ullage.settings import ProbeSettings, ServeSettings, probe_settings

# Each is tried in an interpreter of its own, for about a second.
MOST_TRIED = 4
MOST_SHOWN = 20


class Report:
    """What was found; made by looking, once."""

    def __init__(self, environ: Mapping[str, str], place: Path | None = None) -> None:
        self.directory = place or probe_settings(environ, lambda _: None).directory
        self._environ = environ
        beside, self._hidden = processes.find(self.directory)
        self.processes = [process for process in beside if not process.is_sidecar]
        # In the sidecar's container nothing is measured, and nothing written.
        self.is_sidecar = len(beside) > len(self.processes) == 0
        self.segments, snapshots = segments.read_all(self.directory)
        self.trials = [] if self.is_sidecar else [injection.attempt(startup) for startup in self._startups()]
        self.findings = [
            *self._about_python(),
            *self._about_settings(),
            *self._about_segments(),
            *self._about_processes(),
            *traffic.examine(snapshots, self._settings(), time.monotonic()),
        ]

    def _startups(self) -> list[Startup]:
        """Return the ways in which the application's processes were started; this process's where there are none."""
        found = {process.startup.key: process.startup for process in reversed(self.processes)}
        return list(reversed(found.values()))[:MOST_TRIED] or [own(self._environ)]

    def _settings(self) -> ProbeSettings:
        environ = self.trials[0].startup.environ if self.trials else self._environ
        return probe_settings(environ, lambda _: None)

    def _about_python(self) -> Iterator[Finding]:
        if self.is_sidecar:
            yield ok("python", "this is the sidecar's container: nothing is measured here, segments are read")
        for tried in self.trials:
            yield from injection.examine(tried)

    def _about_settings(self) -> Iterator[Finding]:
        if self.is_sidecar:
            yield from configuration.examine(self._environ, ServeSettings)
        said: list[Finding] = []
        for tried in self.trials:
            found = configuration.examine(tried.startup.environ)
            yield from (finding for finding in found if finding not in said)
            said += found

    def _about_segments(self) -> Iterator[Finding]:
        for_writing = not self.is_sidecar
        uid = os.geteuid()
        spare = sum(segment.state == "free" and segment.uid == uid for segment in self.segments)
        yield from directory.examine(self.directory, for_writing=for_writing, spare=spare)
        if self.directory.is_dir():
            yield from segments.examine(self.segments, for_writing=for_writing)

    def _about_processes(self) -> Iterator[Finding]:
        if self.is_sidecar:
            return
        tried = {trial.startup.key: trial for trial in self.trials}
        for process in self.processes[:MOST_SHOWN]:
            yield _about_process(process, tried.get(process.startup.key))
        if len(self.processes) > MOST_SHOWN:
            yield ok("processes", f"and {len(self.processes) - MOST_SHOWN} more; --json has them all")
        if self._hidden:
            text = f"Python processes of other users, which may not be looked into: {self._hidden}"
            yield warn("processes", text, "run the doctor as the application's user")
        if not self.processes and not any(segment.state == "live" for segment in self.segments):
            step = "start the application, and let it import SQLAlchemy, Flask or RQ"
            yield warn("processes", f"no process writes to {self.directory}", step)

    def summary(self) -> str:
        """Return the last line."""
        counts = {mark: sum(finding.mark == mark for finding in self.findings) for mark in (FAIL, WARN)}
        if not any(counts.values()):
            return "all is well"
        return f"{counts[FAIL]} wrong, {counts[WARN]} to look at"

    def as_json(self) -> dict[str, Any]:
        """Return all that was found, for programs."""
        return {
            "version": __version__,
            "status": worst(self.findings),
            "directory": str(self.directory),
            "findings": [dataclasses.asdict(finding) for finding in self.findings],
            "interpreters": [_trial_as_json(trial) for trial in self.trials],
            "segments": [dataclasses.asdict(segment) for segment in self.segments],
            "processes": [_process_as_json(process) for process in self.processes],
        }


def _about_process(process: PythonProcess, tried: Trial | None) -> Finding:
    check = "processes"
    if process.segment:
        return ok(check, f"{process.name} writes {process.segment}")
    hindered = injection.obstacle(tried) if tried else None
    if hindered:
        return fail(check, f"{process.name} is not measured: {hindered[0]}", hindered[1])
    if process.has_sqlalchemy:
        step = "its log has a line that says why; restart it when what is wrong above has been put right"
        return fail(check, f"{process.name} uses SQLAlchemy and is not measured", step)
    text = f"{process.name} writes no segment: it has imported no library that is measured, as a master process has not"
    return ok(check, text)


def _trial_as_json(trial: Trial) -> dict[str, Any]:
    startup = trial.startup
    return {
        "who": startup.who,
        "executable": startup.executable,
        "flags": list(startup.flags),
        "python_path": startup.path,
        "problem": trial.problem,
        "settings": [dataclasses.asdict(found) for found in configuration.in_force(startup.environ)],
        **trial.found,
    }


def _process_as_json(process: PythonProcess) -> dict[str, Any]:
    return {"pid": process.pid, "command": process.command, "segment": process.segment}


def run(environ: Mapping[str, str], place: Path | None, *, as_json: bool) -> int:
    """Print the report; return 1 when something is wrong, else 0."""
    report = Report(environ, place)
    if as_json:
        print(json.dumps(report.as_json(), indent=2))
    else:
        for finding in report.findings:
            print(finding.line())
        print(report.summary())
    return int(worst(report.findings) == FAIL)
