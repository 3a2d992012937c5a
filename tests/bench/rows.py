"""The rows of the table: which workload gives them, and their budgets."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from statistics import median
from typing import Any

from tests.bench.child import MeasurementError, measure
from tests.bench.report import Row
from tests.bench.sizes import Sizes

US, MS, MB = 1e3, 1e6, 1e6

SQLITE_US, SQLITE_OF_PEER = 3.0, 0.4
NETWORK_US = 8.0
REQUEST_PERCENT = 3.0
CLAIM_MS = 0.3
SCRAPE_MS = (4.0, 40.0)
RESIDENT_MB, START_SECONDS = 30.0, 0.4
QUEUE_MS, QUEUE_TRIPS = 5.0, 3
INJECTED_MS = 15.0
# Two readings of the same thing differ by this much.
FLAT_RATIO = 1.1

Rows = Iterator[Row]


def sqlite_rows(sizes: Sizes, database: str) -> Rows:
    """Measure a checkout and checkin without a network."""
    runs = _repeat(sizes, "checkout", url="", cycles=sizes.sqlite_cycles)
    added = _over_runs(runs, "ullage", "added", US)
    yield Row(
        "checkout + checkin, sqlite",
        f"{_range(added)} us added to {_base(runs, US):.1f} us",
        _control(runs, US, "us"),
        f"<= {SQLITE_US:g} us",
        median(added) <= SQLITE_US,
    )
    ratios = [run["ullage"]["added"] / run["peer_with_levels"]["added"] for run in runs]
    yield Row(
        "the same, of what prometheus_client's multiprocess mode adds for the same series",
        f"{_range(ratios)} x",
        "",
        f"<= {SQLITE_OF_PEER:g} x",
        median(ratios) <= SQLITE_OF_PEER,
    )
    yield from _peer_rows(runs)


def network_rows(sizes: Sizes, database: str) -> Rows:
    """Measure a checkout and checkin on a database server."""
    runs = _repeat(sizes, "checkout", url=database, cycles=sizes.network_cycles)
    added = _over_runs(runs, "ullage", "added", US)
    yield Row(
        "checkout + checkin, MariaDB",
        f"{_range(added)} us added to {_base(runs, US):.0f} us",
        _control(runs, US, "us"),
        f"<= {NETWORK_US:g} us",
        median(added) <= NETWORK_US,
    )
    yield from _peer_rows(runs)


def _peer_rows(runs: Sequence[Any]) -> Rows:
    for variant, what in (
        ("peer_with_levels", "checkouts, waits, uses, idle and used connections"),
        ("peer", "checkouts, waits and uses alone"),
    ):
        added = _over_runs(runs, variant, "added", US)
        yield Row(f"- prometheus_client: {what}", f"{_range(added)} us added", "")


def request_rows(sizes: Sizes, database: str) -> Rows:
    """Measure a request with one query."""
    runs = _repeat(sizes, "request", url=database, cycles=sizes.requests)
    percents = _percents(runs, "ullage")
    added = median(_over_runs(runs, "ullage", "added", US))
    yield Row(
        "Flask request with one query, MariaDB",
        f"{_range(percents)} %: {added:.0f} us added to {_base(runs, US):.0f} us",
        f"{_range(_percents(runs, 'control'))} %",
        f"<= {REQUEST_PERCENT:g} %",
        median(percents) <= REQUEST_PERCENT,
    )
    for variant in ("flask", "pool"):
        yield Row(f"- the {variant} probe alone", f"{_range(_over_runs(runs, variant, 'added', US))} us added", "")


def job_rows(sizes: Sizes, database: str) -> Rows:
    """Measure an RQ job with one query."""
    runs = [measure("job", rounds=sizes.job_rounds, cycles=sizes.job_cycles) for _ in range(sizes.job_processes)]
    added = _over_runs(runs, "ullage", "added", US)
    yield Row(
        "RQ job with one query, SimpleWorker",
        f"{_range(added)} us added to {_base(runs, US):.0f} us",
        _control(runs, US, "us"),
    )


def claim_rows(sizes: Sizes, database: str) -> Rows:
    """Measure the claim of a segment in a forked child."""
    for others in sizes.others:
        found = measure("claim", forks=sizes.forks, others=others)
        claims = found["claim"]
        yield Row(
            f"claim after fork with the parent's hint, {others} other processes",
            _median_and_min(claims, MS, "ms"),
            _halves(claims, MS, "ms"),
            f"<= {CLAIM_MS:g} ms",
            median(claims) / MS <= CLAIM_MS,
        )
        yield Row("- everything in the child's fork hook", _median_and_min(found["hook"], MS, "ms"), "")


def scrape_rows(sizes: Sizes, database: str) -> Rows:
    """Measure whole scrapes, small and big."""
    for count, budget in zip(sizes.segments, SCRAPE_MS, strict=True):
        with_peer = count == sizes.segments[0]
        found = measure("scrape", count=count, scrapes=sizes.scrapes, with_peer=with_peer)
        what = f"whole scrape, {count:,} segments of {found['series']} series"
        taken = found["ullage"]
        yield Row(
            what,
            _median_and_min(taken, MS, "ms"),
            _halves(taken, MS, "ms"),
            f"<= {budget:g} ms",
            median(taken) / MS <= budget,
        )
        if with_peer:
            taken = found["peer"]
            measured, control = _median_and_min(taken, MS, "ms"), _halves(taken, MS, "ms")
            yield Row("- prometheus_client's multiprocess collector, as many processes and series", measured, control)


def jobs_rows(sizes: Sizes, database: str) -> Rows:
    """Measure what forked writers leave behind."""
    found = measure("jobs", jobs=sizes.jobs, scrapes=sizes.scrapes)
    if found["checkouts"] != sizes.jobs:
        raise MeasurementError(f"{sizes.jobs} jobs made one checkout each, and {found['checkouts']:g} were served")
    early, late = (median(found[name]) / MS for name in ("early", "late"))
    files = f"{found['early_files']} files -> {found['late_files']}"
    yield Row(
        f"scrape after {sizes.jobs:,} forked jobs one after another",
        f"{files}, {early:.2f} ms -> {late:.2f} ms",
        _halves(found["late"], MS, "ms"),
        "flat",
        found["early_files"] == found["late_files"] and late <= FLAT_RATIO * early,
    )


def sidecar_rows(sizes: Sizes, database: str) -> Rows:
    """Measure the sidecar's process."""
    found = measure("sidecar", count=sizes.segments[0], starts=sizes.starts, scrapes=sizes.http_scrapes)
    resident, start = found["resident"], [milliseconds / 1e3 for milliseconds in found["start"]]
    yield Row(
        f"sidecar's RSS after {sizes.http_scrapes} scrapes of {sizes.segments[0]} live segments",
        _median_and_min(resident, MB, "MB"),
        _halves(resident, MB, "MB"),
        f"<= {RESIDENT_MB:g} MB",
        median(resident) / MB <= RESIDENT_MB,
    )
    yield Row(
        "sidecar's start to its first scrape",
        _median_and_min(start, 1, "s"),
        _halves(start, 1, "s"),
        f"<= {START_SECONDS:g} s",
        median(start) <= START_SECONDS,
    )
    yield Row("- a scrape through HTTP, gzip", _median_and_min(found["scrape"], 1, "ms"), "")


def queue_rows(sizes: Sizes, database: str) -> Rows:
    """Measure the observer's scrape of RQ's queues."""
    found = measure("queues", jobs=sizes.queued, scrapes=sizes.queue_scrapes)
    taken, trips = found["cpu"], found["round_trips"]
    yield Row(
        f"queue scrape, 10 queues, 50 workers, {sizes.queued:,} jobs",
        f"{_median_and_min(taken, MS, 'ms')}, {trips} round trips",
        _halves(taken, MS, "ms"),
        f"<= {QUEUE_MS:g} ms, <= {QUEUE_TRIPS} round trips",
        median(taken) / MS <= QUEUE_MS and trips <= QUEUE_TRIPS,
    )
    yield Row("- the same, elapsed, with Redis on this machine", _median_and_min(found["elapsed"], MS, "ms"), "")


def start_rows(sizes: Sizes, database: str) -> Rows:
    """Measure Python's start with ullage injected."""
    found = measure("start", starts=sizes.interpreters)
    bare, busy = found["nothing"], found["libraries"]
    yield Row(
        "Python's start, injected",
        f"{_added(bare, 'kept', 0, MS):.2f} ms added to {_middle(bare, 'without', 0, MS):.1f} ms",
        f"{_added(bare, 'control', 0, MS):+.2f} ms",
        f"<= {INJECTED_MS:g} ms",
        _added(bare, "kept", 0, MS) <= INJECTED_MS,
    )
    for what, readings, variant, number, unit, name in (
        ("where no bytecode can be kept", bare, "compiled_again", 0, MS, "ms"),
        ("with SQLAlchemy, Flask and RQ imported", busy, "kept", 0, MS, "ms"),
        ("with both", busy, "compiled_again", 0, MS, "ms"),
        ("resident memory, nothing imported", bare, "kept", 1, MB, "MB"),
        ("resident memory, SQLAlchemy, Flask and RQ imported", busy, "kept", 1, MB, "MB"),
    ):
        measured = f"{_added(readings, variant, number, unit):.2f} {name} added"
        base = f"{_middle(readings, 'without', number, unit):.1f} {name}"
        yield Row(f"- {what}", f"{measured} to {base}", f"{_added(readings, 'control', number, unit):+.2f} {name}")


def _middle(readings: dict[str, Any], variant: str, number: int, unit: float) -> float:
    return median(reading[number] for reading in readings[variant]) / unit


def _added(readings: dict[str, Any], variant: str, number: int, unit: float) -> float:
    """Return the median of the differences between a variant and the program without ullage, start by start."""
    pairs = zip(readings[variant], readings["without"], strict=True)
    return median(one[number] - other[number] for one, other in pairs) / unit


ROWS: dict[str, Callable[[Sizes, str], Rows]] = {
    "sqlite": sqlite_rows,
    "network": network_rows,
    "request": request_rows,
    "job": job_rows,
    "claim": claim_rows,
    "scrape": scrape_rows,
    "jobs": jobs_rows,
    "sidecar": sidecar_rows,
    "queues": queue_rows,
    "start": start_rows,
}
# Those that need the database server.
ON_NETWORK = frozenset({"network", "request"})


def _repeat(sizes: Sizes, workload: str, **arguments: Any) -> list[dict[str, dict[str, float]]]:
    return [measure(workload, rounds=sizes.rounds, **arguments) for _ in range(sizes.processes)]


def _over_runs(runs: Sequence[Any], variant: str, number: str, unit: float) -> list[float]:
    return [run[variant][number] / unit for run in runs]


def _percents(runs: Sequence[Any], variant: str) -> list[float]:
    return [100.0 * run[variant]["added"] / run[variant]["base"] for run in runs]


def _base(runs: Sequence[Any], unit: float) -> float:
    return median(_over_runs(runs, "control", "base", unit))


def _control(runs: Sequence[Any], unit: float, name: str) -> str:
    return f"{_range(_over_runs(runs, 'control', 'added', unit))} {name}"


def _range(values: Sequence[float]) -> str:
    """Return the median over processes, and the lowest and highest."""
    return f"{median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def _median_and_min(values: Sequence[float], unit: float, name: str) -> str:
    return f"{median(values) / unit:.2f} {name} (min {min(values) / unit:.2f})"


def _halves(values: Sequence[float], unit: float, name: str) -> str:
    """Return by how much the median of every other value differs from that of the rest."""
    difference = median(values[::2]) - median(values[1::2]) if len(values) > 1 else 0.0
    return f"{difference / unit:+.2f} {name}"
