"""Every metric once: name, kind, labels, help, aggregation over processes, and buckets.

Both sides read this table: probes to write series, the collector to serve them. `python -m ullage.metrics` prints it
as docs/metrics.md. Standard library only.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_LABEL = re.compile(r"(?!__)[a-zA-Z_][a-zA-Z0-9_]*")

Kind = Literal["counter", "gauge", "histogram"]
Aggregation = Literal["sum", "max"]

WAIT_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
# A connection is held for one statement or for a whole job: milliseconds to minutes.
USE_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
CREATE_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
# A job may run for milliseconds or an hour, and wait as long.
JOB_BUCKETS = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 180.0, 600.0, 1800.0, 3600.0)
RSS_BUCKETS = tuple(float(mebibytes * 2**20) for mebibytes in (32, 64, 128, 192, 256, 384, 512, 768, 1024, 2048, 4096))
REQUEST_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)

LEAK_KINDS = ("over_threshold", "reclaimed_by_gc", "held_at_request_end", "held_at_job_end", "died_with_process")
# How bad: a connection is still out; objects that the next job in this process would commit; `remove()` not called.
LEVELS = ("leaked", "dirty", "lingering")


@dataclass(frozen=True, eq=False)
class Metric:
    """One metric, equal to itself alone. Its label names come after `role`, which every series carries.

    `reserved` metrics may use the rows that a segment keeps back, so that a flood of other series never hides a leak.
    """

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    aggregation: Aggregation = "sum"
    buckets: tuple[float, ...] = ()
    reserved: bool = False

    @cached_property
    def spec(self) -> str:
        """The metric as one line of text, which makes a segment readable without this table."""
        buckets = ",".join(map(repr, self.buckets))
        return "|".join((self.name, self.kind, self.aggregation, ",".join(self.labels), buckets))

    @property
    def width(self) -> int:
        """Cells a series takes: one, or for a histogram one a bucket, one above the last, and the sum."""
        return len(self.buckets) + 2 if self.kind == "histogram" else 1

    @classmethod
    def from_spec(cls, spec: str) -> Metric:
        """Read `spec` back; the help text comes from this table where the name is known.

        Raises:
            ValueError: the text is no spec.
        """
        name, kind, aggregation, labels, buckets = spec.split("|")
        if kind not in ("counter", "gauge", "histogram") or aggregation not in ("sum", "max"):
            raise ValueError(f"metric {name!r}: unknown kind {kind!r} or aggregation {aggregation!r}")
        known = BY_NAME.get(name)
        if known and known.spec == spec:
            return known
        return cls(
            name,
            kind,  # type: ignore[arg-type]  # compared with the three kinds above
            known.help if known else "Not known to this exporter; upgrade the exporter.",
            _read_labels(name, labels),
            aggregation,  # type: ignore[arg-type]  # compared with the two aggregations above
            _read_buckets(buckets),
        )


def _read_labels(metric: str, text: str) -> tuple[str, ...]:
    """Return a spec's label names. One that Prometheus would refuse would cost it the whole page."""
    labels = tuple(text.split(",")) if text else ()
    if not _NAME.fullmatch(metric) or not all(map(_LABEL.fullmatch, labels)):
        raise ValueError(f"metric {metric!r} with labels {text!r}: no names")
    if len({"role", "le", *labels}) < 2 + len(labels):
        raise ValueError(f"metric {metric!r} with labels {text!r}: a label twice")
    return labels


def _read_buckets(text: str) -> tuple[float, ...]:
    buckets = tuple(map(float, text.split(","))) if text else ()
    if not all(low < high for low, high in zip((-math.inf, *buckets), (*buckets, math.inf), strict=True)):
        raise ValueError(f"buckets {text!r}: not in order")
    return buckets


# --- pools -------------------------------------------------------------------------------------------------------
POOL_CONNECTIONS = Metric(
    "sqlalchemy_pool_connections",
    "gauge",
    "Connections that the pool holds open, by state: idle in the pool, or used by the application.",
    ("engine", "state"),
)
POOL_CONNECTIONS_MAX = Metric(
    "sqlalchemy_pool_connections_max",
    "gauge",
    "Connections that the pools may open at most: pool_size plus max_overflow, +Inf without a limit.",
    ("engine",),
)
POOL_CONNECTIONS_PEAK = Metric(
    "sqlalchemy_pool_connections_peak",
    "gauge",
    "Most connections that were in use at one time in any one pool of a live process.",
    ("engine",),
    aggregation="max",
)
POOL_OVERFLOW = Metric(
    "sqlalchemy_pool_overflow_connections",
    "gauge",
    "Connections open beyond pool_size.",
    ("engine",),
)
POOLS = Metric("sqlalchemy_pools", "gauge", "Live connection pools; an engine made per job shows here.", ("engine",))
POOL_SETTING = Metric(
    "sqlalchemy_pool_setting",
    "gauge",
    "Settings of the pools as they are in force: size, max_overflow, pre_ping (0 or 1), and timeout and recycle in "
    "seconds (recycle -1 is off); the highest of all processes.",
    ("engine", "setting"),
    aggregation="max",
)
POOL_CHECKOUTS = Metric(
    "sqlalchemy_pool_checkouts_total", "counter", "Connections handed to the application.", ("engine",)
)
POOL_TIMEOUTS = Metric(
    "sqlalchemy_pool_timeouts_total",
    "counter",
    "Checkouts that gave up after pool_timeout: QueuePool limit reached.",
    ("engine",),
)
POOL_CONNECT_ERRORS = Metric(
    "sqlalchemy_pool_connect_errors_total",
    "counter",
    "Connections that could not be opened, by the server's or driver's error code.",
    ("engine", "code"),
)
POOL_WAIT = Metric(
    "sqlalchemy_pool_checkout_wait_seconds",
    "histogram",
    "Time from asking the pool for a connection to having it, the ping and a new connection included.",
    ("engine",),
    buckets=WAIT_BUCKETS,
)
POOL_USE = Metric(
    "sqlalchemy_pool_connection_use_seconds",
    "histogram",
    "Time from the checkout of a connection to its return.",
    ("engine",),
    buckets=USE_BUCKETS,
)
POOL_CREATE = Metric(
    "sqlalchemy_pool_connection_create_seconds",
    "histogram",
    "Time to open a new connection to the server.",
    ("engine",),
    buckets=CREATE_BUCKETS,
)
POOL_OPENED = Metric(
    "sqlalchemy_pool_connections_opened_total", "counter", "Connections opened to the server.", ("engine",)
)
POOL_CLOSED = Metric(
    "sqlalchemy_pool_connections_closed_total",
    "counter",
    "Connections closed, by reason: recycled, invalidated, pool_invalidated, soft_invalidated, overflow, disposed, "
    "detached, or returned (a pool that keeps none).",
    ("engine", "reason"),
)
POOL_STALE = Metric(
    "sqlalchemy_pool_stale_connections_total",
    "counter",
    "Connections found dead, by the server's or driver's error code and by what found them: pre_ping, statement (the "
    "application saw the error), or pool_invalidation (replaced unasked, because another had been found dead).",
    ("engine", "code", "detected_by"),
)
POOL_RETRIES = Metric(
    "sqlalchemy_pool_stale_connection_retries_total",
    "counter",
    "Stale connections that a checkout replaced before the application saw them, by outcome: success or failure.",
    ("engine", "outcome"),
)

# --- sessions and leaks ------------------------------------------------------------------------------------------
UNRELEASED_TOTAL = Metric(
    "sqlalchemy_unreleased_sessions_total",
    "counter",
    "Connections that were not released as they should be, by who checked them out, where, and how it was found.",
    ("engine", "queue", "function", "site", "kind", "level"),
    reserved=True,
)
RECOVERED_TOTAL = Metric(
    "sqlalchemy_unreleased_sessions_recovered_total",
    "counter",
    "Connections that had been counted as unreleased, or were out over the threshold, and then came back.",
    ("engine",),
    reserved=True,
)
LEAKS_TOTAL = Metric(
    "ullage_leaks_total",
    "counter",
    "Connections that were not released, by kind; every kind is there from 0, so that increase() sees the first.",
    ("kind",),
    reserved=True,
)

# --- jobs --------------------------------------------------------------------------------------------------------
JOBS = Metric(
    "rq_jobs_total",
    "counter",
    "Jobs that a worker performed, by what became of them: finished, failed, retried, stopped, canceled; killed or "
    "exited when the work horse ended before its job.",
    ("queue", "function", "outcome"),
)
JOB_DURATION = Metric(
    "rq_job_duration_seconds",
    "histogram",
    "Time that a worker spent on a job, its callbacks included.",
    ("queue", "function", "outcome"),
    buckets=JOB_BUCKETS,
)
JOB_WAIT = Metric(
    "rq_job_wait_seconds",
    "histogram",
    "Time from a job's enqueueing to its start.",
    ("queue", "function"),
    buckets=JOB_BUCKETS,
)
HORSE_DEATHS = Metric(
    "rq_work_horse_deaths_total",
    "counter",
    "Work horses that ended by a signal (SIGKILL: out of memory, or a job that outstayed its timeout).",
    ("function", "signal"),
)
HORSE_RSS = Metric(
    "rq_work_horse_max_rss_bytes",
    "histogram",
    "Peak resident memory of work horses, shared pages included.",
    ("function",),
    buckets=RSS_BUCKETS,
)
HORSE_CPU = Metric("rq_work_horse_cpu_seconds_total", "counter", "Processor time that work horses used.", ("function",))
APPS_BUILT = Metric(
    "flask_apps_built_in_jobs_total",
    "counter",
    "Flask applications made inside jobs: each costs what importing the application costs.",
    ("function",),
)

# --- requests ----------------------------------------------------------------------------------------------------
REQUESTS = Metric("flask_requests_total", "counter", "Requests answered, by url rule.", ("method", "route", "status"))
REQUEST_DURATION = Metric(
    "flask_request_duration_seconds",
    "histogram",
    "Time from the request's arrival to the end of its response.",
    ("method", "route", "status"),
    buckets=REQUEST_BUCKETS,
)
FORWARDED_HOPS = Metric(
    "flask_forwarded_hops_total",
    "counter",
    "Requests by the number of X-Forwarded-For hops seen beside the number configured: missing, fewer, expected, more.",
    ("seen",),
)
DEVELOPMENT_SERVER = Metric(
    "flask_development_server",
    "gauge",
    "1 where Werkzeug's development server answers requests, else 0.",
    aggregation="max",
)

# --- ullage itself -----------------------------------------------------------------------------------------------
PROBE_UP = Metric("ullage_probe_up", "gauge", "Live processes in which the probe is installed and works.", ("probe",))

PROBE_METRICS: tuple[Metric, ...] = tuple(value for value in list(globals().values()) if isinstance(value, Metric))

# Metrics that have no cell in a segment: the collector makes them from slots, headers and from itself.
WAITING = Metric(
    "sqlalchemy_pool_waiting_requests",
    "gauge",
    "Requests that wait for a connection now.",
    ("engine",),
)
OLDEST_CHECKOUT = Metric(
    "sqlalchemy_oldest_checkout_seconds",
    "gauge",
    "Age of the connection that has been out longest, 0 when none is out.",
    ("engine",),
    aggregation="max",
)
UNRELEASED_NOW = Metric(
    "sqlalchemy_unreleased_sessions",
    "gauge",
    "Connections that are out now, past the end of their request or job or over the threshold.",
    ("engine", "function", "site"),
)
DROPPED = Metric(
    "ullage_dropped_series_total",
    "counter",
    "Observations that a full table put into a series labelled `other` (series, strings), or checkouts that found no "
    "free slot (slots).",
    ("table",),
)
SEGMENTS = Metric(
    "ullage_segments",
    "gauge",
    "Segment files, by state: live (a process writes) or free (kept for the next).",
    ("state",),
)
UNREADABLE = Metric(
    "ullage_unreadable_segments",
    "gauge",
    "Files in the segment directory that could not be read, by reason.",
    ("reason",),
)
BUILD_INFO = Metric("ullage_build_info", "gauge", "1, labelled with the exporter's version.", ("version", "python"))
UP = Metric(
    "ullage_up", "gauge", "1 when the segment directory, or all that the observer reads, could be read, else 0."
)
COLLECTOR_DURATION = Metric(
    "ullage_collector_duration_seconds", "gauge", "Time that the last collection took.", ("collector",)
)
COLLECTOR_SUCCESS = Metric(
    "ullage_collector_success", "gauge", "1 when the last collection succeeded, else 0.", ("collector",)
)

COLLECTOR_METRICS: tuple[Metric, ...] = tuple(
    value for value in list(globals().values()) if isinstance(value, Metric) and value not in PROBE_METRICS
)

# --- the observer, one a release ---------------------------------------------------------------------------------
QUEUE_JOBS = Metric(
    "rq_queue_jobs",
    "gauge",
    "Jobs of a queue, by state: queued, started, deferred, scheduled, failed, finished, canceled.",
    ("queue", "state"),
)
QUEUE_OLDEST = Metric(
    "rq_queue_oldest_job_age_seconds", "gauge", "Age of the job that waits longest, 0 when none waits.", ("queue",)
)
QUEUE_WORKERS = Metric(
    "rq_queue_workers", "gauge", "Workers that listen to a queue, by state: idle, busy, suspended.", ("queue", "state")
)
SCHEDULER_UP = Metric("rq_scheduler_up", "gauge", "1 when a scheduler holds the queue's lock, else 0.", ("queue",))
BUDGET = Metric(
    "ullage_connection_budget", "gauge", "Database connections that a component may open at most.", ("component",)
)
LIMIT = Metric("ullage_connection_limit", "gauge", "Connections that the database accepts, where that is known.")
LEAK_EVENTS = Metric("ullage_leak_events_total", "counter", "Kubernetes Events on leaks, created or counted up.")

OBSERVER_METRICS = (QUEUE_JOBS, QUEUE_OLDEST, QUEUE_WORKERS, SCHEDULER_UP, BUDGET, LIMIT, LEAK_EVENTS)
ALL: tuple[Metric, ...] = PROBE_METRICS + COLLECTOR_METRICS + OBSERVER_METRICS
BY_NAME: dict[str, Metric] = {metric.name: metric for metric in ALL}

# Metrics about a sidecar or a release as a whole, which no process and so no role stands behind.
WITHOUT_ROLE = frozenset(
    m.name for m in (UNREADABLE, BUILD_INFO, UP, COLLECTOR_DURATION, COLLECTOR_SUCCESS, *OBSERVER_METRICS)
)


def markdown() -> str:
    """Return docs/metrics.md."""
    lines = [
        "# Metrics",
        "",
        "Produced by `python -m ullage.metrics`; a test compares.",
        "Every series also carries the label `role`, but for those marked †.",
        "Gauges count live processes only; the last column says how processes are combined.",
        f"The last {len(OBSERVER_METRICS)}, from `{OBSERVER_METRICS[0].name}` on, are the observer's.",
        "",
        "| metric | kind | labels | meaning | over processes |",
        "|---|---|---|---|---|",
    ]
    for metric in ALL:
        mark = " †" if metric.name in WITHOUT_ROLE else ""
        labels = ", ".join(f"`{label}`" for label in metric.labels)
        lines.append(f"| `{metric.name}`{mark} | {metric.kind} | {labels} | {metric.help} | {metric.aggregation} |")
    lines += ["", "## Buckets", "", "| metric | upper bounds, in seconds or bytes |", "|---|---|"]
    lines += [f"| `{m.name}` | {', '.join(f'{b:.10g}' for b in m.buckets)} |" for m in ALL if m.buckets]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(markdown(), end="")
