"""The exporter itself: whether everything is measured, and what measuring costs."""

from __future__ import annotations

from chart.monitoring.builders.alerts import alerts_table
from chart.monitoring.builders.page import Page
from chart.monitoring.builders.palette import GREEN, ORANGE, RED
from chart.monitoring.builders.panels import (
    NONE_ALLOWED,
    About,
    Column,
    Query,
    above,
    graph,
    grid,
    tile,
    word,
)
from chart.monitoring.builders.promql import counted, happened, highest, or_zero, select, total

_POD = "namespace, job, pod, instance"
_YES = (word(0, "no", RED), above(0, "yes", GREEN))

_NOW = [
    tile(
        About(
            "Exporters",
            "Sidecars and observers that Prometheus scrapes with success.",
            6,
            4,
            ("ExporterDown", "ExporterMissing"),
        ),
        [Query(total("ullage_up"))],
        levels=((None, RED), (1, GREEN)),
        decimals=0,
    ),
    tile(
        About(
            "Unreadable segments",
            "Files in segment directories that an exporter cannot read; what they hold is not on these dashboards.",
            6,
            4,
            ("ExporterPartial",),
        ),
        [Query(or_zero(total("ullage_unreadable_segments")))],
        "short",
        NONE_ALLOWED,
        decimals=0,
    ),
    tile(
        About(
            "Dropped series",
            "Observations in the time range that a full segment counted under the label `other`, or not at all.",
            6,
            4,
            ("SeriesDropped",),
        ),
        [Query(or_zero(counted("ullage_dropped_series_total")))],
        "short",
        NONE_ALLOWED,
        trend=False,
        decimals=0,
    ),
    tile(
        About(
            "Slowest collection",
            "Time that the slowest exporter took for its last collection; it should stay far below scrape_timeout.",
            6,
            4,
        ),
        [Query(highest("ullage_collector_duration_seconds"))],
        "s",
        ((None, GREEN), (1, ORANGE), (5, RED)),
    ),
]

_EXPORTERS = [
    grid(
        About(
            "Exporters",
            "Each exporter: whether Prometheus reaches it, whether its segment directory can be read, and its version.",
            14,
            6,
            ("ExporterDown", "ExporterPartial"),
        ),
        [
            Query(f"max by ({_POD}) ({select('up')} and on ({_POD}) last_over_time({select('ullage_up')}[$__range]))"),
            Query(highest("ullage_up", by=_POD)),
            Query(highest("ullage_build_info", by=f"{_POD}, version, python")),
        ],
        [
            Column("namespace", "Namespace"),
            Column("job", "Job"),
            Column("pod", "Pod"),
            Column("instance", "Instance"),
            Column("version", "Version", width=80),
            Column("python", "Python", width=80),
            Column("Value #A", "Reached", "short", _YES, width=85),
            Column("Value #B", "Reads", "short", _YES, width=75),
        ],
        "Instance",
    ),
    grid(
        About(
            "Collectors",
            "Each part of an exporter: whether its last collection succeeded, and how long it took.",
            10,
            6,
            ("ExporterPartial",),
        ),
        [
            Query(highest("ullage_collector_success", by="collector, instance")),
            Query(highest("ullage_collector_duration_seconds", by="collector, instance")),
        ],
        [
            Column("collector", "Collector"),
            Column("instance", "Instance"),
            Column("Value #A", "Success", "short", _YES, width=85),
            Column("Value #B", "Took", "s", width=90),
        ],
        "Took",
    ),
]

_SEGMENTS = [
    graph(
        About(
            "Processes with a working probe",
            "By library. In each role the pool's probe should be in as many processes as there are live segments.",
            8,
            8,
            ("ProbeNotInstalled",),
        ),
        [Query(total("ullage_probe_up", by="role, probe"), "{{role}} {{probe}}")],
    ),
    graph(
        About(
            "Segments",
            "Files that processes count in: live ones, and free ones that the next process continues. A number of "
            "free segments that only grows means that processes cannot adopt them.",
            8,
            8,
            ("ProbeNotInstalled",),
        ),
        [Query(total("ullage_segments", by="state"), "{{state}}")],
        words=("live", "free"),
        form="stack",
    ),
    graph(
        About(
            "Unreadable segments and dropped series",
            "Segments by the reason why they cannot be read, and observations by the table that was full.",
            8,
            8,
            ("ExporterPartial", "SeriesDropped"),
        ),
        [
            Query(total("ullage_unreadable_segments", by="reason"), "unreadable: {{reason}}"),
            Query(happened("ullage_dropped_series_total", by="table"), "full: {{table}}"),
        ],
        form="bars",
    ),
    graph(
        About("Duration of a collection", "Time that each exporter's last collection took.", 8),
        [
            Query(
                highest("ullage_collector_duration_seconds", by="instance, pod, collector"),
                "{{collector}} {{pod}} {{instance}}",
            )
        ],
        "s",
    ),
    graph(
        About("Duration of a scrape", "From Prometheus' request to the end of the answer, by exporter.", 8),
        [Query(highest("scrape_duration_seconds", by="instance, pod"), "{{pod}} {{instance}}")],
        "s",
    ),
    graph(
        About(
            "Series of a scrape",
            "Samples that each exporter serves. They are bounded by the segments' tables, whatever the application "
            "does.",
            8,
        ),
        [Query(highest("scrape_samples_scraped", by="instance, pod"), "{{pod}} {{instance}}")],
    ),
]

PAGE = Page(
    "exporter",
    "exporter",
    "exporter",
    "Whether everything is measured: exporters, segments and probes; what was dropped; and what measuring costs.",
    [
        ("Now", _NOW),
        ("Exporters", _EXPORTERS),
        ("Segments and probes", _SEGMENTS),
        ("Alerts", [alerts_table(24, 8)]),
    ],
)
