"""RQ workers: leaks by function and line, jobs, work horses, and queues."""

from __future__ import annotations

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
    last_seen,
    or_zero,
    quantile,
    rate,
    ratio,
    slower,
    total,
)
from chart.monitoring.builders.variables import choice

_FUNCTION = 'function=~"$function"'
_JOB = f'queue=~"$queue",{_FUNCTION}'
_QUEUE = 'queue=~"$queue"'
_KEPT = 'state!="finished"'
_LEAKS = "sqlalchemy_unreleased_sessions_total"
_LEAK = f'{_JOB},level!="lingering"'
_BY_LINE = "function, site, kind, level, queue, role"
_FAILED = 'outcome=~"failed|killed|exited"'

_LEAKS_NOW = [
    tile(
        About(
            "Leaks",
            "Connections that were not released in the time range, of jobs and requests, every kind but those that "
            "came back late.",
            6,
            4,
            ("SessionLeak",),
        ),
        [Query(or_zero(counted("ullage_leaks_total", 'kind!="over_threshold"')))],
        "short",
        NONE_ALLOWED,
        trend=False,
        decimals=0,
    ),
    tile(
        About(
            "Out too long now",
            "Connections that are out past the end of their request or job, or over the threshold "
            "(ULLAGE_LEAK_THRESHOLD_SECONDS).",
            6,
            4,
            ("SessionHeldTooLong",),
        ),
        [Query(or_zero(total("sqlalchemy_unreleased_sessions")))],
        "short",
        NONE_ALLOWED,
        decimals=0,
    ),
    tile(
        About("Came back late", "Connections that counted as unreleased in the time range, and then came back.", 6, 4),
        [Query(or_zero(counted("sqlalchemy_unreleased_sessions_recovered_total")))],
        trend=False,
        decimals=0,
    ),
    tile(
        About(
            "Oldest checkout of a worker",
            "Age of the connection that a worker's process has held longest.",
            6,
            4,
            ("SessionHeldTooLong",),
        ),
        [Query(or_zero(highest("sqlalchemy_oldest_checkout_seconds", 'role!="web"')))],
        "s",
        ((None, GREEN), (60, ORANGE), (600, RED)),
    ),
]

_LEAKS_WHERE = [
    grid(
        About(
            "Leaks by function and line",
            "Who did not release a connection, where it was checked out, how that was found (kind), how bad it is "
            "(level), how often in the time range, and when last. The sidecar's /leaks has job ids and call stacks.",
            24,
            7,
            ("SessionLeak",),
        ),
        [
            Query(f"{counted(_LEAKS, _LEAK, by=_BY_LINE)} > 0"),
            Query(last_seen(_LEAKS, _LEAK, by=_BY_LINE)),
        ],
        [
            Column("function", "Function"),
            Column("site", "Line"),
            Column("kind", "Kind", width=180),
            Column("level", "Level", width=80),
            Column("queue", "Queue", width=100),
            Column("role", "Role", width=80),
            Column("Value #A", "Count", "short", width=80),
            Column("Value #B", "Last seen", "dateTimeFromNow", width=150),
        ],
        "Last seen",
    ),
    graph(
        About(
            "Leaks by kind",
            "held_at_job_end and held_at_request_end: still out when the job or request was over; reclaimed_by_gc: "
            "came back only because Python collected its owner; over_threshold: came back late; died_with_process: "
            "the process is gone.",
            12,
            8,
            ("SessionLeak",),
        ),
        [Query(happened("ullage_leaks_total", by="kind"), "{{kind}}")],
        words=("held_at_job_end", "held_at_request_end", "reclaimed_by_gc", "over_threshold", "died_with_process"),
        form="bars",
    ),
    graph(
        About(
            "Out too long, by function and line",
            "Connections that are out now past the end of their request or job, or over the threshold.",
            12,
            8,
            ("SessionHeldTooLong",),
        ),
        [Query(total("sqlalchemy_unreleased_sessions", _FUNCTION, by="function, site"), "{{function}} {{site}}")],
    ),
]

_JOBS = [
    graph(
        About("Jobs by outcome", "Jobs performed a second, by what became of them.", 8),
        [Query(rate("rq_jobs_total", _JOB, by="outcome"), "{{outcome}}")],
        "ops",
        words=("finished", "failed", "retried", "stopped", "canceled", "killed", "exited"),
        form="stack",
    ),
    graph(
        About(
            "Failed jobs by function",
            "Share of a function's jobs that failed or whose work horse ended before its job.",
            8,
            8,
            ("JobsFailing",),
        ),
        [
            Query(
                ratio(
                    happened("rq_jobs_total", _FAILED, _JOB, by="function", within="$__rate_interval"),
                    happened("rq_jobs_total", _JOB, by="function", within="$__rate_interval"),
                ),
                "{{function}}",
            )
        ],
        "percentunit",
        highest=1,
    ),
    graph(
        About(
            "Flask applications built in jobs",
            "By function. A job that builds the application pays for importing it; sessions need no application.",
            8,
            8,
            ("FlaskAppBuiltInJob",),
        ),
        [Query(happened("flask_apps_built_in_jobs_total", _FUNCTION, by="function"), "{{function}}")],
        form="bars",
    ),
    graph(
        About("Duration by function, p95", "95 of 100 jobs took at most this long, callbacks included.", 12),
        [Query(quantile(0.95, "rq_job_duration_seconds", _JOB, by="function"), "{{function}}")],
        "s",
    ),
    heat(
        About("Duration: distribution", "How long jobs took. Each cell: how many took so long.", 12),
        buckets("rq_job_duration_seconds", _JOB),
        "s",
    ),
]

_HORSES = [
    graph(
        About(
            "Work horses that died",
            "By signal and by the function that they ran. SIGKILL: out of memory, or a job that outstayed its timeout.",
            8,
            8,
            ("WorkHorseKilled",),
        ),
        [Query(happened("rq_work_horse_deaths_total", _FUNCTION, by="function, signal"), "{{signal}} {{function}}")],
        form="bars",
    ),
    graph(
        About(
            "Peak memory, p95",
            "95 of 100 work horses stayed below this resident memory, pages shared with the worker included. "
            "Compare it with the container's limit.",
            8,
            8,
            ("WorkHorseKilled",),
        ),
        [Query(quantile(0.95, "rq_work_horse_max_rss_bytes", _FUNCTION, by="function"), "{{function}}")],
        "bytes",
    ),
    graph(
        About("Processor time", "Processors that work horses kept busy, by function.", 8),
        [Query(rate("rq_work_horse_cpu_seconds_total", _FUNCTION, by="function"), "{{function}}")],
        "short",
        form="stack",
    ),
]

_QUEUES = [
    graph(
        About(
            "Jobs in queues",
            "By state, as the observer reads them from Redis. Finished jobs are those whose result is still kept.",
            8,
            8,
            ("WorkersGone",),
        ),
        [Query(f"sum by (state) ({highest('rq_queue_jobs', _QUEUE, _KEPT, by='queue, state')})", "{{state}}")],
        words=("queued", "started", "deferred", "scheduled", "failed", "canceled"),
        form="stack",
    ),
    graph(
        About(
            "Oldest waiting job",
            "Age of the job that has been queued longest, 0 when none waits.",
            8,
            8,
            ("QueueLatencyHigh",),
        ),
        [Query(highest("rq_queue_oldest_job_age_seconds", _QUEUE, by="queue"), "{{queue}}")],
        "s",
    ),
    graph(
        About(
            "Workers",
            "Workers that listen to these queues, by what they do. One that listens to several counts in each.",
            8,
            8,
            ("WorkersGone",),
        ),
        [Query(f"sum by (state) ({highest('rq_queue_workers', _QUEUE, by='queue, state')})", "{{state}}")],
        words=("idle", "busy", "suspended"),
        form="stack",
    ),
    graph(
        About(
            "Wait for a worker: quantiles",
            "From a job's enqueueing to its start.",
            8,
            8,
            ("JobWaitBudgetBurnFast", "JobWaitBudgetBurnSlow"),
        ),
        [Query(quantile(share, "rq_job_wait_seconds", _JOB), f"p{share * 100:g}") for share in (0.5, 0.95, 0.99)],
        "s",
        words=("p50", "p95", "p99"),
    ),
    graph(
        About(
            "Jobs that started late",
            "Share of the jobs that waited longer than these times: what the objective for jobs allows a small part "
            "of.",
            8,
            8,
            ("JobWaitBudgetBurnFast", "JobWaitBudgetBurnSlow"),
        ),
        [Query(slower("rq_job_wait_seconds", limit, _JOB), f"longer than {limit} s") for limit in (10, 60)],
        "percentunit",
    ),
    grid(
        About(
            "Schedulers",
            "Whether a scheduler holds the queue's lock, and how many jobs are scheduled: without one they never run.",
            8,
            8,
            ("SchedulerDown",),
        ),
        [
            Query(highest("rq_scheduler_up", _QUEUE, by="queue")),
            Query(highest("rq_queue_jobs", _QUEUE, 'state="scheduled"', by="queue")),
        ],
        [
            Column("queue", "Queue"),
            Column("Value #A", "Scheduler", "short", (word(0, "none", ORANGE), above(0, "up", GREEN)), width=100),
            Column("Value #B", "Scheduled", "short", width=100),
        ],
        "Scheduled",
    ),
]

PAGE = Page(
    "workers-and-leaks",
    "workers",
    "workers and leaks",
    "RQ workers: who leaks a session and where, what becomes of jobs, why work horses die, and how long queues are.",
    [("Leaks", [*_LEAKS_NOW, *_LEAKS_WHERE]), ("Jobs", _JOBS), ("Work horses", _HORSES), ("Queues", _QUEUES)],
    [
        choice("queue", "Queue", "rq_jobs_total", "RQ's queues."),
        choice("function", "Function", "rq_jobs_total", "The functions that jobs run."),
    ],
)
