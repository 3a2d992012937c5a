"""`python -m tests.demo`: start everything, make traffic, say what to look at, and stay until Ctrl-C."""

from __future__ import annotations

import argparse
import contextlib
import signal
import sys
import time
from contextlib import ExitStack

import httpx

from tests.demo.stack import READY_PATH, Stack, make_directory, remove_directory
from tests.demo.traffic import CSV_ORDERS, Metrics, Traffic
from tests.servers import MariaDB, Redis, ServerError, wait_for

WAIT_TIMEOUT_SECONDS = 10
KILL_ROUNDS = 5
EXCERPT = (
    "sqlalchemy_pool_checkouts_total",
    "sqlalchemy_pool_connections",
    "sqlalchemy_pool_connections_max",
    "flask_requests_total",
    "ullage_probe_up",
)
STALE_EXCERPT = (
    "sqlalchemy_pool_stale_connections_total",
    "sqlalchemy_pool_stale_connection_retries_total",
)


class BrokenPromiseError(Exception):
    """Something ran, but not as the README promises."""


def main() -> int:
    """Run the demo and return the exit status."""
    options = _parse_arguments()
    for ending in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(ending, _exit)
    try:
        with ExitStack() as owner:
            _run(owner, options.db, once=options.once)
    except KeyboardInterrupt:
        say("stopped; nothing is left behind")
    except (ServerError, BrokenPromiseError, TimeoutError, httpx.HTTPError) as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    return 0


def say(text: str) -> None:
    """Tell what happens next."""
    print(f"demo: {text}", flush=True)


def _run(owner: ExitStack, database: str, *, once: bool) -> None:
    server = _start_database(owner, database)
    stack = _start_stack(owner, server)
    traffic = Traffic(stack.web_url)
    owner.callback(traffic.client.close)
    _make_traffic(traffic)
    ended = _make_stale(server, traffic) if server else None
    stack.check_alive()
    metrics = _scrape(stack, traffic)
    _check(stack, metrics, traffic, ended)
    _show(stack, metrics, traffic, ended)
    if once:
        return
    say("up until Ctrl-C")
    while True:
        stack.check_alive()
        time.sleep(1)


def _start_database(owner: ExitStack, database: str) -> MariaDB | None:
    if database == "sqlite":
        return None
    say(f"starting MariaDB with wait_timeout={WAIT_TIMEOUT_SECONDS}")
    return owner.enter_context(MariaDB({"wait_timeout": WAIT_TIMEOUT_SECONDS}))


def _start_stack(owner: ExitStack, server: MariaDB | None) -> Stack:
    directory = make_directory()
    owner.callback(remove_directory, directory)
    say("starting Redis")
    redis = owner.enter_context(Redis())
    url = server.url() if server else f"sqlite:///{directory / 'app.db'}"
    stack = Stack(directory, redis.url, url)
    say("creating the tables: python -m app.migrate")
    stack.migrate()
    say("starting web (gunicorn, 2 workers x 4 threads), worker (python -m app.worker) and sidecar (ullage serve)")
    stack.start(owner)
    return stack


def _make_traffic(traffic: Traffic) -> None:
    say("making traffic: orders, lists, reports")
    traffic.work()
    say(f"importing a CSV file of {CSV_ORDERS} orders in the worker")
    status = traffic.import_csv()
    if status != "finished":
        raise BrokenPromiseError(f"the CSV import ended as {status!r} instead of 'finished'")


def _make_stale(server: MariaDB, traffic: Traffic) -> int:
    """Let the server end pooled connections in both ways, and return how many."""
    killed = 0
    for _ in range(KILL_ROUNDS):
        # Between requests: a connection that dies in the middle of a statement is not stale, its work is lost.
        killed += server.kill_connections()
        traffic.read()
    say(f"killed {killed} pooled connections in {KILL_ROUNDS} rounds, and sent requests after each")
    expired = len(server.connection_ids())
    say(f"waiting until the server closes {expired} idle connections itself, after {WAIT_TIMEOUT_SECONDS} s")
    wait_for(
        lambda: not server.connection_ids(),
        timeout=3 * WAIT_TIMEOUT_SECONDS,
        what=f"the end of the idle connections by wait_timeout={WAIT_TIMEOUT_SECONDS}",
        interval=0.5,
    )
    traffic.read()
    return killed + expired


def _scrape(stack: Stack, traffic: Traffic) -> Metrics:
    """Scrape the sidecar; a request is counted when its response is closed, just after the client has it."""
    with contextlib.suppress(TimeoutError):
        wait_for(lambda: _agree(Metrics.scrape(stack.metrics_url), traffic), timeout=5, what="the last requests")
    return Metrics.scrape(stack.metrics_url)


def _agree(metrics: Metrics, traffic: Traffic) -> bool:
    return metrics.requests(without_route=READY_PATH) == traffic.statuses


def _check(stack: Stack, metrics: Metrics, traffic: Traffic, ended: int | None) -> None:
    promises = {
        "every request was answered with success": not traffic.failed,
        "the sidecar counts as many requests as were answered, status by status": _agree(metrics, traffic),
        "the sidecar counts the checkouts of the web processes": _checkouts(metrics, "web") > 0,
        "the sidecar counts the checkouts of the worker's jobs": _checkouts(metrics, "worker") > 0,
    }
    if ended is not None:
        # Not all of them: a connection that no request asks for again is never found to be stale.
        promises["retries were counted in every round"] = KILL_ROUNDS < _retries(metrics, "success") <= ended
        promises["no retry failed"] = _retries(metrics, "failure") == 0
    broken = [promise for promise, is_kept in promises.items() if not is_kept]
    if broken:
        page = "\n".join(metrics.lines(*EXCERPT, *STALE_EXCERPT))
        answers = f"answers: {dict(traffic.statuses)}"
        raise BrokenPromiseError(f"not as promised: {'; '.join(broken)}\n{answers}\n{page}\n{stack.logs()}")


def _checkouts(metrics: Metrics, role: str) -> float:
    return metrics.total("sqlalchemy_pool_checkouts_total", role=role)


def _retries(metrics: Metrics, outcome: str) -> float:
    return metrics.total("sqlalchemy_pool_stale_connection_retries_total", outcome=outcome)


def _show(stack: Stack, metrics: Metrics, traffic: Traffic, ended: int | None) -> None:
    answers = ", ".join(f"{count} x {status}" for status, count in sorted(traffic.statuses.items()))
    say(f"{traffic.statuses.total()} requests were answered: {answers}")
    if ended is not None:
        retries = f"{_retries(metrics, 'success'):.0f} retries"
        say(f"the server ended {ended} pooled connections; {retries} replaced them before a request saw them")
    say(f"from {stack.metrics_url}/metrics:\n")
    for line in metrics.lines(*EXCERPT, *(STALE_EXCERPT if ended is not None else ())):
        print(f"    {line}")
    print()
    say(f"the application    {stack.web_url}/")
    say(f"the sidecar        {stack.metrics_url}/")
    say(f"its metrics        {stack.metrics_url}/metrics")
    say(f"segments and logs  {stack.directory}")


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tests.demo", description=__doc__)
    parser.add_argument("--db", choices=["sqlite", "mariadb"], default="sqlite", help="the database; default: sqlite")
    parser.add_argument("--once", action="store_true", help="end after the checks instead of at Ctrl-C")
    return parser.parse_args()


def _exit(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
