"""HTTP requests by route, and whether the application sees its users or its proxies."""

from __future__ import annotations

from chart.monitoring.builders.page import Page
from chart.monitoring.builders.palette import GREEN, ORANGE, RED
from chart.monitoring.builders.panels import About, Column, Query, above, graph, grid, heat, tile, word
from chart.monitoring.builders.promql import buckets, by_class, happened, highest, quantile, rate, ratio, total
from chart.monitoring.builders.variables import choice

_ROUTE = 'route=~"$route"'
_FAILED = 'status=~"5.."'
_REQUESTS = "flask_requests_total"
_DURATION = "flask_request_duration_seconds"
_HOPS = "flask_forwarded_hops_total"
_UNEXPECTED = ratio(rate(_HOPS, 'seen!="expected"'), rate(_HOPS))
_SERVER = (word(0, "Gunicorn or alike", GREEN), above(0, "development server", RED))

_BY_ROUTE = "method, route"
_RANGE = "$__range"
_EVERY = rate(_REQUESTS, _ROUTE, by=_BY_ROUTE, over=_RANGE)
_FAILED_OF = rate(_REQUESTS, _FAILED, _ROUTE, by=_BY_ROUTE, over=_RANGE)

_NOW = [
    tile(About("Requests", "Requests answered a second.", 5, 4), [Query(rate(_REQUESTS, _ROUTE))], "reqps"),
    tile(
        About("Failed requests", "Share of requests answered with a status of 500 or above.", 5, 4),
        [Query(ratio(rate(_REQUESTS, _FAILED, _ROUTE), rate(_REQUESTS, _ROUTE)))],
        "percentunit",
        ((None, GREEN), (0.01, ORANGE), (0.05, RED)),
    ),
    tile(
        About("Duration, p95", "95 of 100 requests were answered within this time.", 5, 4),
        [Query(quantile(0.95, _DURATION, _ROUTE))],
        "s",
        ((None, GREEN), (1, ORANGE), (5, RED)),
    ),
    tile(
        About(
            "Unexpected hops",
            "Share of requests with another number of X-Forwarded-For addresses than the proxies configured.",
            5,
            4,
            ("ForwardedHopsUnexpected",),
        ),
        [Query(_UNEXPECTED)],
        "percentunit",
        ((None, GREEN), (0.01, ORANGE), (0.05, RED)),
    ),
    tile(
        About("Web processes", "Live processes in which requests are measured.", 4, 4),
        [Query(total("ullage_probe_up", 'probe="flask",role="web"'))],
        decimals=0,
    ),
]

_REQUEST_PANELS = [
    graph(
        About("Requests by status", "Requests answered a second, by class of status.", 8),
        [Query(by_class(rate(_REQUESTS, _ROUTE, by="status")), "{{class}}")],
        "reqps",
        words=("2xx", "3xx", "4xx", "5xx"),
        form="stack",
    ),
    graph(
        About("Duration: quantiles", "From a request's arrival to the end of its response.", 8),
        [Query(quantile(share, _DURATION, _ROUTE), f"p{share * 100:g}") for share in (0.5, 0.95, 0.99)],
        "s",
        words=("p50", "p95", "p99"),
    ),
    heat(
        About("Duration: distribution", "How long requests took. Each cell: how many took so long.", 8),
        buckets(_DURATION, _ROUTE),
        "s",
    ),
    grid(
        About(
            "Routes",
            "Each url rule over the time range: requests a second, share that failed, and duration. "
            "Requests that no rule matches are «unmatched».",
            16,
            9,
        ),
        [
            Query(_EVERY),
            Query(ratio(_FAILED_OF, _EVERY)),
            Query(quantile(0.5, _DURATION, _ROUTE, by=_BY_ROUTE, over=_RANGE)),
            Query(quantile(0.95, _DURATION, _ROUTE, by=_BY_ROUTE, over=_RANGE)),
        ],
        [
            Column("method", "Method", width=80),
            Column("route", "Route"),
            Column("Value #A", "Requests", "reqps", width=100),
            Column("Value #B", "Failed", "percentunit", width=80),
            Column("Value #C", "p50", "s", width=90),
            Column("Value #D", "p95", "s", width=90),
        ],
        "Requests",
    ),
    graph(
        About(
            "Connections held at the end of a request",
            "Responses that were finished while the request still had a connection out.",
            8,
            9,
            ("SessionLeak",),
        ),
        [Query(happened("ullage_leaks_total", 'kind="held_at_request_end"', by="role"), "{{role}}")],
        form="bars",
    ),
]

_PROXIES = [
    graph(
        About(
            "Forwarded hops beside those configured",
            "missing: no X-Forwarded-For at all, so the request came around the proxy; fewer: the application takes "
            "a proxy for its user; more: a proxy that is not counted, or a client that sends the header itself.",
            10,
            8,
            ("ForwardedHopsUnexpected",),
        ),
        [Query(rate(_HOPS, by="seen"), "{{seen}}")],
        "reqps",
        words=("expected", "missing", "fewer", "more"),
        form="stack",
    ),
    graph(
        About(
            "Share of unexpected hops",
            "By role. Steadily high: the hop counts do not fit the topology (ULLAGE_PROXY_X_FOR, or web.proxy in the "
            "chart). Low and ragged: scanners and port-forwards.",
            8,
            8,
            ("ForwardedHopsUnexpected",),
        ),
        [Query(ratio(rate(_HOPS, 'seen!="expected"', by="role"), rate(_HOPS, by="role")), "{{role}}")],
        "percentunit",
        highest=1,
    ),
    grid(
        About(
            "What answers",
            "Whether Werkzeug's development server answers requests; it is neither secure nor fast.",
            6,
            8,
            ("DevelopmentServer",),
        ),
        [Query(highest("flask_development_server", by="job, role"))],
        [
            Column("job", "Job"),
            Column("role", "Role", width=80),
            Column("Value", "Server", "short", _SERVER, width=150),
        ],
        "Server",
    ),
]

PAGE = Page(
    "http-and-proxies",
    "http",
    "HTTP and proxies",
    "Requests by route and status, and whether the forwarded headers fit the proxies in front.",
    [("Now", _NOW), ("Requests", _REQUEST_PANELS), ("Proxies", _PROXIES)],
    [choice("route", "Route", "flask_requests_total", "Url rules of the application.")],
)
