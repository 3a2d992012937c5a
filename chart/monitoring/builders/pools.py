"""Connection pools, in HikariCP's words: size, active, idle, pending; time to acquire, in use, to create; timeouts."""

from __future__ import annotations

from typing import Any

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
    heat,
    tile,
    word,
)
from chart.monitoring.builders.promql import (
    buckets,
    counted,
    happened,
    highest,
    or_zero,
    quantile,
    rate,
    slower,
    total,
)
from chart.monitoring.builders.variables import choice

_OF = 'role=~"$role",engine=~"$engine"'
_WAIT = "sqlalchemy_pool_checkout_wait_seconds"
_USE = "sqlalchemy_pool_connection_use_seconds"
_CREATE = "sqlalchemy_pool_connection_create_seconds"
_USED = 'state="used"'
_MOST = f"{total('sqlalchemy_pool_connections_max', _OF)} < +Inf"
_POD = "instance, pod, role, engine"
# Pools of one connection are left out: a work horse that runs a job uses all of its pool.
_POD_MOST = (
    f"({total('sqlalchemy_pool_connections_max', _OF, by=_POD)} > {total('sqlalchemy_pools', _OF, by=_POD)}) < +Inf"
)


def _quantiles(metric: str) -> list[Query]:
    return [Query(quantile(share, metric, _OF), f"p{share * 100:g}") for share in (0.5, 0.95, 0.99)]


def _times(title: str, metric: str, description: str, alerts: tuple[str, ...] = ()) -> list[Any]:
    return [
        graph(
            About(f"{title}: quantiles", description, 12, 8, alerts),
            _quantiles(metric),
            "s",
            words=("p50", "p95", "p99"),
        ),
        heat(
            About(f"{title}: distribution", f"{description} Each cell: how many took so long.", 12),
            buckets(metric, _OF),
            "s",
        ),
    ]


_NOW = [
    tile(
        About(
            "Busiest pod",
            "Connections in use of those that its pools may open, in the pod where that share is highest.",
            4,
            4,
            ("PoolUtilizationHigh",),
        ),
        [Query(f"max ({total('sqlalchemy_pool_connections', _USED, _OF, by=_POD)} / ({_POD_MOST}))")],
        "percentunit",
        ((None, GREEN), (0.7, ORANGE), (0.9, RED)),
    ),
    tile(
        About("Active", "Connections that the application uses now.", 4, 4),
        [Query(or_zero(total("sqlalchemy_pool_connections", _USED, _OF)))],
        decimals=0,
    ),
    tile(
        About("Idle", "Connections that wait in the pools for the next checkout.", 4, 4),
        [Query(or_zero(total("sqlalchemy_pool_connections", 'state="idle"', _OF)))],
        decimals=0,
    ),
    tile(
        About(
            "Pending",
            "Requests and jobs that wait for a connection now. Anything above 0 for more than a moment leads to "
            "timeouts.",
            4,
            4,
            ("PoolRequestsWaiting",),
        ),
        [Query(or_zero(total("sqlalchemy_pool_waiting_requests", _OF)))],
        "short",
        NONE_ALLOWED,
        decimals=0,
    ),
    tile(
        About(
            "Timeouts",
            "Checkouts that gave up in the time range: QueuePool limit reached. A request or a job failed each time.",
            4,
            4,
            ("PoolExhausted",),
        ),
        [Query(or_zero(counted("sqlalchemy_pool_timeouts_total", _OF)))],
        "short",
        NONE_ALLOWED,
        trend=False,
        decimals=0,
    ),
    tile(
        About(
            "Oldest checkout",
            "Age of the connection that has been out longest. One that only grows was never given back.",
            4,
            4,
            ("SessionHeldTooLong",),
        ),
        [Query(or_zero(highest("sqlalchemy_oldest_checkout_seconds", _OF)))],
        "s",
        ((None, GREEN), (60, ORANGE), (600, RED)),
    ),
]

_CONNECTIONS = [
    graph(
        About(
            "Connections",
            "Connections that the pools hold, active and idle, and the most that they may open: pool_size plus "
            "max_overflow of every pool.",
            12,
        ),
        [
            Query(total("sqlalchemy_pool_connections", _USED, _OF), "used"),
            Query(total("sqlalchemy_pool_connections", 'state="idle"', _OF), "idle"),
            Query(_MOST, "maximum"),
        ],
        words=("used", "idle", "maximum"),
        form="stack",
        dashed=("maximum",),
    ),
    graph(
        About(
            "Pending and timeouts",
            "Requests and jobs that wait for a connection, and checkouts that gave up after pool_timeout.",
            12,
            8,
            ("PoolExhausted", "PoolRequestsWaiting"),
        ),
        [
            Query(total("sqlalchemy_pool_waiting_requests", _OF), "waiting"),
            Query(happened("sqlalchemy_pool_timeouts_total", _OF), "timeouts"),
        ],
        words=("waiting", "timeouts"),
        form="bars",
    ),
    graph(
        About(
            "Use of each pod's pools",
            "Connections in use of those that the pod may open. Each process has a pool of its own: one can be empty "
            "while others are idle.",
            8,
            8,
            ("PoolUtilizationHigh",),
        ),
        [
            Query(
                f"{total('sqlalchemy_pool_connections', _USED, _OF, by=_POD)} / ({_POD_MOST})",
                "{{pod}} {{role}} {{engine}}",
            )
        ],
        "percentunit",
        highest=1,
    ),
    graph(
        About("Checkouts", "Connections handed to the application a second.", 8),
        [Query(rate("sqlalchemy_pool_checkouts_total", _OF, by="role, engine"), "{{role}} {{engine}}")],
        "ops",
    ),
    graph(
        About(
            "Overflow and peak",
            "Connections open beyond pool_size, in all pools; and the most that were in use at one time in any one "
            "pool. A pool that always overflows opens and closes a connection for each use: raise pool_size.",
            8,
        ),
        [
            Query(total("sqlalchemy_pool_overflow_connections", _OF, by="role"), "overflow {{role}}"),
            Query(highest("sqlalchemy_pool_connections_peak", _OF, by="role"), "peak {{role}}"),
        ],
    ),
]

_TIMES = [
    *_times(
        "Acquire time",
        _WAIT,
        "From asking the pool for a connection to having it, the ping and a new connection included.",
        ("CheckoutWaitHigh",),
    ),
    *_times(
        "Usage time",
        _USE,
        "From the checkout of a connection to its return. A long tail holds connections that others wait for.",
        ("SessionHeldTooLong",),
    ),
    *_times("Creation time", _CREATE, "To open a new connection to the server."),
    graph(
        About(
            "Slow checkouts",
            "Share of the checkouts that took longer than these times or gave up: what the objective for checkouts "
            "allows a small part of.",
            8,
            8,
            ("CheckoutWaitBudgetBurnFast", "CheckoutWaitBudgetBurnSlow"),
        ),
        [
            Query(
                slower(_WAIT, limit, _OF, or_lost=rate("sqlalchemy_pool_timeouts_total", _OF)),
                f"longer than {limit} s",
            )
            for limit in (0.1, 0.5)
        ],
        "percentunit",
    ),
    graph(
        About(
            "Oldest checkout",
            "Age of the connection that has been out longest. A straight line upwards is one that was not given back.",
            8,
            8,
            ("SessionHeldTooLong",),
        ),
        [Query(highest("sqlalchemy_oldest_checkout_seconds", _OF, by="role, engine"), "{{role}} {{engine}}")],
        "s",
    ),
    graph(
        About(
            "Held too long, by function and line",
            "Connections that are out now past the end of their request or job, or over the threshold "
            "(ULLAGE_LEAK_THRESHOLD_SECONDS): who checked them out, and where.",
            8,
            8,
            ("SessionHeldTooLong",),
        ),
        [Query(total("sqlalchemy_unreleased_sessions", _OF, by="function, site"), "{{function}} {{site}}")],
    ),
]

_STALE = [
    graph(
        About(
            "Stale connections, by what found them",
            "pre_ping and pool_invalidation replace them before use; statement means that the application saw the "
            "error (2006, 2013, 4031).",
            8,
            8,
            ("StaleConnectionErrors",),
        ),
        [
            Query(
                happened("sqlalchemy_pool_stale_connections_total", _OF, by="detected_by, code"),
                "{{detected_by}} {{code}}",
            )
        ],
        form="bars",
    ),
    graph(
        About(
            "Retries of stale connections",
            "Share of the checkouts that found a dead connection and opened another. More than a few: the server or "
            "something between closes idle connections before pool_recycle does.",
            8,
            8,
            ("StaleConnectionRetriesHigh",),
        ),
        [
            Query(
                f"{rate('sqlalchemy_pool_stale_connection_retries_total', _OF, by='outcome')} "
                f"/ on () group_left () {rate('sqlalchemy_pool_checkouts_total', _OF)}",
                "{{outcome}}",
            )
        ],
        "percentunit",
        words=("success", "failure"),
        form="stack",
    ),
    graph(
        About(
            "Connections that could not be opened",
            "By the server's or driver's code: 2003 is a server that is not there, 1040 one with too many "
            "connections, 1045 a wrong password.",
            8,
        ),
        [Query(happened("sqlalchemy_pool_connect_errors_total", _OF, by="engine, code"), "{{code}} {{engine}}")],
        form="bars",
    ),
    graph(
        About("Opened", "Connections opened to the server a second. A pool that works opens few.", 12),
        [Query(rate("sqlalchemy_pool_connections_opened_total", _OF, by="role, engine"), "{{role}} {{engine}}")],
        "cps",
    ),
    graph(
        About(
            "Closed, by reason",
            "recycled: older than pool_recycle; invalidated: found dead; overflow: beyond pool_size, closed after use; "
            "disposed: the engine's pool was thrown away.",
            12,
        ),
        [Query(rate("sqlalchemy_pool_connections_closed_total", _OF, by="reason"), "{{reason}}")],
        "cps",
        form="stack",
    ),
]


def _setting(name: str) -> Query:
    return Query(highest("sqlalchemy_pool_setting", f'setting="{name}"', _OF, by="role, engine"))


_SETTINGS = [
    grid(
        About(
            "Settings in force",
            "What the pools were made with. Without pre-ping and recycle, the first statement after the server closed "
            "a connection fails.",
            14,
            8,
            ("PoolWithoutPrePingOrRecycle",),
        ),
        [
            Query(total("sqlalchemy_pools", _OF, by="role, engine")),
            *map(_setting, ("size", "max_overflow", "timeout", "recycle", "pre_ping")),
        ],
        [
            Column("role", "Role", width=80),
            Column("engine", "Engine"),
            Column("Value #A", "Pools", "short", width=65),
            Column("Value #B", "Size", "short", width=60),
            Column("Value #C", "Overflow", "short", width=85),
            Column("Value #D", "Timeout", "s", width=80),
            Column("Value #E", "Recycle", "s", (word(-1, "off", ORANGE),), width=80),
            Column("Value #F", "Pre-ping", "short", (word(0, "off", RED), above(0, "on", GREEN)), width=85),
        ],
        "Pools",
    ),
    graph(
        About(
            "Connection budget",
            "Connections open, those that each component may open at most (replicas, processes and pools multiplied "
            "by the chart), and what the database allows.",
            10,
            8,
            ("ConnectionBudgetExceeded",),
        ),
        [
            Query(highest("ullage_connection_budget", by="component"), "budget of {{component}}"),
            Query(highest("ullage_connection_limit"), "limit"),
            Query(total("sqlalchemy_pool_connections"), "used"),
        ],
        words=("limit", "used"),
    ),
]

PAGE = Page(
    "pools",
    "pools",
    "connection pools",
    "SQLAlchemy's connection pools: how full they are, how long a connection takes, and what became of stale ones.",
    [
        ("Now", _NOW),
        ("Connections", _CONNECTIONS),
        ("Times", _TIMES),
        ("Stale and refused connections", _STALE),
        ("Settings and budget", _SETTINGS),
    ],
    [
        choice("role", "Role", "sqlalchemy_pools", "What the processes are: web, worker."),
        choice("engine", "Engine", "sqlalchemy_pools", "Databases, as dialect://host/database."),
    ],
)
