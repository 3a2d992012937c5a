"""The segments: which are written, by whom and with which probes, which are free, and which cannot be read and why."""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from ullage import metrics as m
from ullage.claim import SUFFIX, UNBORN_SUFFIX
from ullage.doctor.finding import Finding, fail, ok, plural, warn
from ullage.leaks import journal
from ullage.metrics import Metric
from ullage.segment import Snapshot, UnreadableSegmentError, read_segment
from ullage.segment import layout as at

CHECK = "segments"
MOST_SHOWN = 20
_STEPS = {
    "no_access": "give the directory to ullage alone, and its files to the application's user",
    "foreign": "keep other files out of the segment directory",
    "unknown_version": "run probe and sidecar of one release",
    "unknown_layout": "run probe and sidecar of one release",
}


@dataclass(frozen=True)
class Segment:
    """One file. `state` is live, free or unreadable, with the reason."""

    file: str
    state: str
    reason: str = ""
    problem: str = ""
    role: str = ""
    container: str = ""
    uid: int = -1
    # In the writer's own pid namespace.
    pid: int = 0
    started: float = 0.0
    probes: tuple[str, ...] = ()
    silent: tuple[str, ...] = ()
    engines: tuple[str, ...] = ()
    dropped: int = 0


def read_all(directory: Path) -> tuple[list[Segment], list[Snapshot]]:
    """Read every file of the directory, through read-only descriptors."""
    found, snapshots = [], []
    try:
        names = sorted(os.listdir(directory))  # noqa: PTH208 - names alone
    except OSError:
        return [], []
    for name in names:
        if name.endswith(UNBORN_SUFFIX):
            continue
        segment, snapshot = _read(directory, name)
        found.append(segment)
        if snapshot is not None:
            snapshots.append(snapshot)
    return found, snapshots


def _read(directory: Path, name: str) -> tuple[Segment, Snapshot | None]:
    if not name.endswith(SUFFIX):
        return Segment(name, "unreadable", "foreign", "no segment"), None
    try:
        # Non-blocking: somebody's fifo must not hold the report.
        fd = os.open(directory / name, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        return Segment(name, "unreadable", "no_access", f"{error.strerror}"), None
    try:
        snapshot = read_segment(fd)
        journal(snapshot.header)
        return _describe(name, snapshot), snapshot
    except UnreadableSegmentError as error:
        return Segment(name, "unreadable", error.reason, str(error)), None
    except OSError as error:
        return Segment(name, "unreadable", "no_access", f"{error.strerror}"), None
    finally:
        os.close(fd)


def _describe(name: str, snapshot: Snapshot) -> Segment:
    identity, header = snapshot.identity, snapshot.header
    probes = dict(_gauges(snapshot, m.PROBE_UP))
    return Segment(
        file=name,
        state="live" if snapshot.is_live else "free",
        role=identity.role,
        container=identity.container,
        uid=identity.uid,
        pid=_whole(header[at.PID]),
        started=header[at.STARTED_WALL] if math.isfinite(header[at.STARTED_WALL]) else 0.0,
        probes=tuple(sorted(probe for probe, up in probes.items() if up)),
        silent=tuple(sorted(probe for probe, up in probes.items() if not up)),
        engines=tuple(sorted({engine for engine, pools in _gauges(snapshot, m.POOLS) if pools})),
        dropped=sum(_whole(header[word]) for word in (at.DROPPED_SERIES, at.DROPPED_STRINGS, at.DROPPED_SLOTS)),
    )


def _whole(value: float) -> int:
    return int(value) if math.isfinite(value) else 0


def _gauges(snapshot: Snapshot, metric: Metric) -> Iterator[tuple[str, float]]:
    """Yield first label and value of a gauge's series; nothing where no process lives."""
    for series in snapshot.series:
        index = series.cell - at.GAUGES
        if series.metric is metric and index < len(snapshot.gauges) and not math.isnan(snapshot.gauges[index]):
            yield series.labels[0], snapshot.gauges[index]


def examine(segments: list[Segment], *, for_writing: bool) -> list[Finding]:
    """Say what is in the directory."""
    live = [segment for segment in segments if segment.state == "live"]
    states = Counter(segment.state for segment in segments)
    findings = [ok(CHECK, f"{states['live']} live, {states['free']} free, {states['unreadable']} unreadable")]
    for segment in live[:MOST_SHOWN]:
        findings += _writer(segment)
    if len(live) > MOST_SHOWN:
        findings.append(ok(CHECK, f"and {len(live) - MOST_SHOWN} more live ones; --json has them all"))
    if for_writing:
        findings += _foreign_users(segments)
    findings += _unreadable([segment for segment in segments if segment.state == "unreadable"])
    dropped = sum(segment.dropped for segment in segments)
    if dropped:
        text = f"{plural(dropped, 'observation')} found a full table"
        findings.append(warn(CHECK, text, "look for label values without end, such as a queue per customer"))
    return findings


def _writer(segment: Segment) -> Iterator[Finding]:
    started = datetime.fromtimestamp(segment.started, timezone.utc)
    container = f" of container {segment.container}" if segment.container else ""
    engines = f", pools of {', '.join(segment.engines)}" if segment.engines else ""
    probes = ", ".join(segment.probes) or "none"
    text = (
        f"{segment.file}: role {segment.role}{container}, pid {segment.pid}, uid {segment.uid}, "
        f"since {started:%Y-%m-%dT%H:%M:%SZ}, probes up: {probes}{engines}"
    )
    yield ok(CHECK, text)
    for probe in segment.silent:
        text = f"{segment.file}: the {probe} probe failed in pid {segment.pid} and measures no more"
        yield fail(CHECK, text, "the process's log has one line that says why; restart the process and report the line")


def _foreign_users(segments: Iterable[Segment]) -> Iterator[Finding]:
    own = os.geteuid()
    live = {segment.uid for segment in segments if segment.state == "live"}
    if live and own not in live:
        step = f"run the doctor as uid {min(live)}, for what it says of writing to be about them"
        yield warn(CHECK, f"the processes that write are of uid {_listed(live)}, and this is uid {own}", step)
    left = Counter(segment.uid for segment in segments if segment.state == "free" and segment.uid not in (own, *live))
    for uid, count in left.items():
        text = f"{plural(count, 'free segment')} of uid {uid}, which no process of another uid goes on with"
        yield warn(CHECK, text, "keep the container's runAsUser as it was, or empty the directory")


def _unreadable(segments: list[Segment]) -> Iterator[Finding]:
    for segment in segments[:MOST_SHOWN]:
        step = _STEPS.get(segment.reason, "remove it while no process writes it; its counts are lost")
        text = f"{segment.file}: {segment.reason}: {segment.problem}"
        yield fail(CHECK, text, step) if segment.reason == "no_access" else warn(CHECK, text, step)
    if len(segments) > MOST_SHOWN:
        yield warn(CHECK, f"and {len(segments) - MOST_SHOWN} more that are unreadable; --json has them all")


def _listed(uids: Iterable[int]) -> str:
    return ", ".join(map(str, sorted(uids)))
