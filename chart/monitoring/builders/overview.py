"""The four lessons at a glance, and the few numbers that say whether anything is wrong now."""

from __future__ import annotations

from chart.monitoring.builders.alerts import alerts_table
from chart.monitoring.builders.page import Page
from chart.monitoring.builders.palette import GREEN, ORANGE, RED
from chart.monitoring.builders.panels import About, Column, Query, graph, grid, signals, tile, verdict
from chart.monitoring.builders.promql import (
    by_class,
    counted,
    happened,
    highest,
    or_zero,
    quantile,
    rate,
    ratio,
    select,
    total,
)

# A tenth of a percent of odd requests is a scanner; one in twenty is a proxy too many or too few.
HOPS_SHARE = 0.05

_SETTING = "sqlalchemy_pool_setting"
_NETWORK = 'engine!~"sqlite.*"'
_LEAKED = 'level!="lingering",kind!="over_threshold"'

# `size` is there for pools that keep connections; one that keeps none has none that go stale.
UNPROTECTED = " and ignoring(setting) ".join(
    f"{select(_SETTING, f'setting={name}', _NETWORK)}{condition}"
    for name, condition in (('"pre_ping"', " == 0"), ('"recycle"', " < 0"), ('"size"', ""))
)
OPEN = total("sqlalchemy_pool_connections")
USED = total("sqlalchemy_pool_connections", 'state="used"')
MOST = f"{total('sqlalchemy_pool_connections_max')} < +Inf"
UNEXPECTED_HOPS = ratio(rate("flask_forwarded_hops_total", 'seen!="expected"'), rate("flask_forwarded_hops_total"))
FAILED_REQUESTS = ratio(rate("flask_requests_total", 'status=~"5.."'), rate("flask_requests_total"))
FAILED_JOBS = ratio(
    happened("rq_jobs_total", 'outcome=~"failed|killed|exited"', within="$__rate_interval"),
    happened("rq_jobs_total", within="$__rate_interval"),
)

# Of each lesson: what breaks it, as numbers that are 0 while it holds.
WITHOUT_APP = [Query(or_zero(counted("flask_apps_built_in_jobs_total")), "Flask apps built in jobs")]
NEVER_STALE = [
    Query(
        or_zero(counted("sqlalchemy_pool_stale_connections_total", 'detected_by="statement"')),
        "stale errors that users saw",
    ),
    Query(
        or_zero(counted("sqlalchemy_pool_stale_connection_retries_total", 'outcome="failure"')), "retries that failed"
    ),
    Query(or_zero(f"count({UNPROTECTED})"), "pools without pre-ping and recycle"),
]
RELEASED = [
    Query(or_zero(counted("ullage_leaks_total", 'kind!="over_threshold"')), "connections not released"),
    Query(or_zero(total("sqlalchemy_unreleased_sessions")), "out too long now"),
    Query(or_zero(counted("sqlalchemy_pool_timeouts_total")), "checkouts that timed out"),
]
BEHIND_PROXIES = [
    Query(or_zero(f"{highest('flask_development_server')} > bool 0"), "development servers"),
    Query(or_zero(f"100 * ({UNEXPECTED_HOPS})"), "% of requests with unexpected hops"),
]


def _broken(lesson: list[Query], limits: tuple[float, ...] = ()) -> Query:
    """Return how many of a lesson's numbers are above their limits, which are 0 unless given."""
    limits = limits or (0,) * len(lesson)
    return Query(" + ".join(f"(({one.expr}) > bool {limit:g})" for one, limit in zip(lesson, limits, strict=True)))


_LESSONS = [
    verdict(
        About(
            "1  Workers need no Flask app",
            "Green while no job built a Flask application in the time range. Building one costs a job what importing "
            "the application costs, hundreds of milliseconds; tasks need a session, not an application.",
            6,
            4,
            ("FlaskAppBuiltInJob",),
        ),
        _broken(WITHOUT_APP),
        "holds",
        "broken",
    ),
    verdict(
        About(
            "2  No user sees a stale connection",
            "Green while every connection that went stale was replaced before a statement used it. "
            "Red when the application saw the error, a retry failed, or a pool neither pings nor recycles.",
            6,
            4,
            ("StaleConnectionErrors", "StaleConnectionRetriesHigh", "PoolWithoutPrePingOrRecycle"),
        ),
        _broken(NEVER_STALE),
        "holds",
        "broken",
    ),
    verdict(
        About(
            "3  Every session is released",
            "Green while no job and no request kept a connection past its end in the time range, and no checkout gave "
            "up waiting for one. The table below names function and line.",
            6,
            4,
            ("SessionLeak", "SessionHeldTooLong", "PoolExhausted"),
        ),
        _broken(RELEASED),
        "holds",
        "broken",
    ),
    verdict(
        About(
            "4  Proxies and Gunicorn are right",
            "Green while no Werkzeug development server answers requests, and at most one request in twenty came "
            "through another number of proxies than configured.",
            6,
            4,
            ("ForwardedHopsUnexpected", "DevelopmentServer"),
        ),
        _broken(BEHIND_PROXIES, (0, 100 * HOPS_SHARE)),
        "holds",
        "broken",
    ),
]

_WHY = [
    signals(
        About("What breaks lesson 1", "What breaks the first lesson, counted over the time range.", 6, 5), WITHOUT_APP
    ),
    signals(
        About(
            "What breaks lesson 2",
            "What breaks the second lesson, counted over the time range; pools are those now.",
            6,
            5,
        ),
        NEVER_STALE,
    ),
    signals(
        About("What breaks lesson 3", "What breaks the third lesson, counted over the time range.", 6, 5), RELEASED
    ),
    signals(
        About(
            "What breaks lesson 4",
            "Development servers now, and the share of requests whose X-Forwarded-For had another number of addresses "
            "than the proxies configured; above 5 % the lesson is broken.",
            6,
            5,
        ),
        BEHIND_PROXIES,
        ((None, GREEN), (100 * HOPS_SHARE, RED)),
    ),
]

_WHERE = [
    grid(
        About("Jobs that built an app", "The functions whose jobs built a Flask application in the time range.", 6),
        [Query(f"{counted('flask_apps_built_in_jobs_total', by='function')} > 0")],
        [Column("function", "Function"), Column("Value", "Apps", "short", width=80)],
        "Apps",
    ),
    graph(
        About(
            "Stale connections, by what became of them",
            "Replaced before use (success), replaced in vain (failure), or found by a statement, which is an error "
            "that the application saw. Each connection counts once.",
            6,
        ),
        [
            Query(happened("sqlalchemy_pool_stale_connection_retries_total", by="outcome"), "{{outcome}}"),
            Query(happened("sqlalchemy_pool_stale_connections_total", 'detected_by="statement"'), "statement"),
        ],
        words=("success", "failure", "statement"),
        form="bars",
    ),
    grid(
        About(
            "Leaks by function and line",
            "Who checked out the connections that were not released, in the time range. "
            "The dashboard «workers and leaks» has kind, level and time too.",
            6,
            alerts=("SessionLeak",),
        ),
        [Query(f"{counted('sqlalchemy_unreleased_sessions_total', _LEAKED, by='function, site')} > 0")],
        [
            Column("function", "Function"),
            Column("site", "Line"),
            Column("Value", "Leaks", "short", width=70),
        ],
        "Leaks",
    ),
    graph(
        About(
            "Forwarded hops beside those configured",
            "Requests by the number of addresses in X-Forwarded-For: as many as proxies are configured, or not. "
            "With too few the application sees a proxy as its user; with too many a user can forge an address.",
            6,
            alerts=("ForwardedHopsUnexpected",),
        ),
        [Query(rate("flask_forwarded_hops_total", by="seen"), "{{seen}}")],
        "reqps",
        words=("expected", "missing", "fewer", "more"),
        form="stack",
    ),
]

_SHARE = ((None, GREEN), (0.01, ORANGE), (0.05, RED))
_NOW = [
    tile(About("Requests", "Requests answered a second.", 3, 4), [Query(rate("flask_requests_total"))], "reqps"),
    tile(
        About("Failed requests", "Share of requests answered with a status of 500 or above.", 3, 4),
        [Query(FAILED_REQUESTS)],
        "percentunit",
        _SHARE,
    ),
    tile(
        About("Pool in use", "Connections in use, of those that all pools may open.", 3, 4, ("PoolUtilizationHigh",)),
        [Query(f"{USED} / ({MOST})")],
        "percentunit",
        ((None, GREEN), (0.7, ORANGE), (0.9, RED)),
    ),
    tile(
        About(
            "Checkout wait, p99",
            "99 of 100 checkouts had their connection within this time.",
            3,
            4,
            ("CheckoutWaitHigh",),
        ),
        [Query(quantile(0.99, "sqlalchemy_pool_checkout_wait_seconds"))],
        "s",
        ((None, GREEN), (0.1, ORANGE), (1, RED)),
    ),
    tile(About("Jobs", "Jobs performed a second.", 3, 4), [Query(rate("rq_jobs_total"))], "ops"),
    tile(
        About("Failed jobs", "Share of jobs that failed or whose work horse died.", 3, 4, ("JobsFailing",)),
        [Query(FAILED_JOBS)],
        "percentunit",
        _SHARE,
    ),
    tile(
        About("Oldest waiting job", "Age of the job that has been queued longest.", 3, 4, ("QueueLatencyHigh",)),
        [Query(highest("rq_queue_oldest_job_age_seconds"))],
        "s",
        ((None, GREEN), (60, ORANGE), (300, RED)),
    ),
    tile(
        About(
            "Connections of the limit",
            "Connections open now, of those that the database allows (database.maxConnections in the chart).",
            3,
            4,
            ("ConnectionBudgetExceeded",),
        ),
        [Query(f"{OPEN} / scalar({highest('ullage_connection_limit')})")],
        "percentunit",
        ((None, GREEN), (0.7, ORANGE), (0.9, RED)),
    ),
]

_COURSE = [
    graph(
        About("Requests by status", "Requests answered a second, by class of status.", 6),
        [Query(by_class(rate("flask_requests_total", by="status")), "{{class}}")],
        "reqps",
        words=("2xx", "3xx", "4xx", "5xx"),
        form="stack",
    ),
    graph(
        About("Connections", "Connections that the pools hold, and the most that they may open.", 6),
        [
            Query(USED, "used"),
            Query(total("sqlalchemy_pool_connections", 'state="idle"'), "idle"),
            Query(MOST, "maximum"),
        ],
        words=("used", "idle", "maximum"),
        form="stack",
        dashed=("maximum",),
    ),
    graph(
        About("Jobs by outcome", "Jobs performed a second, by what became of them.", 6),
        [Query(rate("rq_jobs_total", by="outcome"), "{{outcome}}")],
        "ops",
        words=("finished", "failed", "retried", "killed", "exited"),
        form="stack",
    ),
    graph(
        About("Queued jobs", "Jobs that wait in each queue, as the observer reads them from Redis.", 6),
        [Query(highest("rq_queue_jobs", 'state="queued"', by="queue"), "{{queue}}")],
    ),
]

PAGE = Page(
    "overview",
    "overview",
    "overview",
    "The four lessons at a glance: each green or red, with what breaks it and where; and what happens now.",
    [
        ("The four lessons", [*_LESSONS, *_WHY, *_WHERE]),
        ("Now", _NOW),
        ("Course", _COURSE),
        ("Alerts", [alerts_table(24, 7)]),
    ],
)
