"""The eight applications: how each is started, what it is asked, and what is to be measured of that."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.promises.injected.container import Image
from tests.promises.injected.run import Run

APPS = Path(__file__).parents[1] / "apps"
BIND = ("--bind", "127.0.0.1:PORT", "--worker-tmp-dir", "/dev/shm")
BURST = ("--burst", "--name", "worker-1")
ORDER = '{"item": "funnel", "quantity": 3}'
JOBS = ("invoice", "export", "broken")


def nothing_more(_run: Run) -> None:
    """Ask what every application is asked, and no more."""


@dataclass(frozen=True)
class Leak:
    """A connection that is forgotten: `line` is the beginning of the source line that checks it out."""

    file: str
    line: str

    def find(self, code: Path) -> tuple[str, int, str]:
        """Return the name of the file, the number of the line, and the function."""
        lines = (code / self.file).read_text().splitlines()
        number = next(number for number, line in enumerate(lines, 1) if line.strip().startswith(self.line))
        function = next(line.split()[1] for line in reversed(lines[:number]) if line.startswith("def "))
        return Path(self.file).name, number, function.partition("(")[0]


@dataclass(frozen=True)
class Application:
    """One of the eight."""

    image: Image
    # Programs: those that run to their end, what serves, and what works on jobs.
    setup: tuple[tuple[str, ...], ...]
    serve: tuple[str, ...]
    work: tuple[str, ...]
    web_leak: Leak
    job_leak: Leak
    # What is asked besides, once the database has closed all connections; and before anything is served.
    more: Callable[[Run], None] = nothing_more
    first: Callable[[Run], None] = nothing_more
    # Checkouts by role, and by engine where there are several.
    checkouts: Mapping[str, int] = field(default_factory=lambda: {"web": 8, "worker": 3})
    by_engine: Mapping[str, int] = field(default_factory=dict)
    # Jobs by function and outcome.
    jobs: Mapping[tuple[str, str], int] = field(default_factory=dict)
    # Whether a stale connection is replaced unseen; else its user gets an error.
    has_pre_ping: bool = True
    # Stale connections that workers replace, and jobs that are killed with a connection out.
    worker_retries: int = 0
    killed_jobs: int = 0
    # Processes that serve; with one, every number is known beforehand.
    workers: int = 1

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.image.name

    def play(self, run: Run) -> None:
        """Run all of it: the same in every run."""
        for command in self.setup:
            run.command(*command)
        self.first(run)
        with run.serving(*self.serve):
            run.post("/orders", ORDER)
            for number in (1, 1, 99):
                run.get(f"/orders/{number}")
            run.get("/nowhere")
            run.get("/crash")
            run.kill_connections()
            run.get("/orders/1")
            run.get("/orders/1")
            run.get("/export")
            self.more(run)
            for job in JOBS:
                run.post(f"/jobs/{job}")
            run.command(*self.work, role="worker")
            for job in JOBS:
                run.get(f"/jobs/{job}")


def jobs_of(module: str, **more: str) -> dict[tuple[str, str], int]:
    """Return the outcomes of the jobs that every application has, and of more."""
    outcomes = {"invoice": "finished", "export": "finished", "broken": "failed", **more}
    return {(f"{module}.{function}", outcome): 1 for function, outcome in outcomes.items()}


def _engines(run: Run) -> None:
    run.get("/archive")
    run.get("/archive")
    run.get("/handed-out")


def _commands(run: Run) -> None:
    run.command("flask", "stock", "report")
    run.command("flask", "stock", "check", "90")
    run.command("flask", "stock", "check", "1000")
    run.command("flask", "stock", "nonsense")
    with run.serving("flask", "run", "--port", "PORT"):
        run.get("/orders/1")


def _slow(run: Run) -> None:
    run.get_at_once([f"/slow/{number}" for number in range(6)])


def _children(run: Run) -> None:
    run.get("/site")
    run.get("/child")


def _proxies(run: Run) -> None:
    run.get("/process")
    run.get("/client")
    forwarded = ("X-Forwarded-Proto: https", "X-Forwarded-Host: portal.example", "X-Forwarded-Prefix: /shop")
    run.get("/client?page=2", "X-Forwarded-For: 203.0.113.7, 198.51.100.2", *forwarded)
    run.get("/client", "X-Forwarded-For: 192.0.2.66, 203.0.113.7, 198.51.100.2", *forwarded)


def _second_worker(run: Run) -> None:
    with run.working("python", "manage.py", "rqworker", "--simple", "--name", "worker-2"):
        run.post("/jobs/first?function=invoice")
        run.wait_for_job("first", "worker-2")
        run.kill_connections()
        run.post("/jobs/second?function=invoice")
        run.wait_for_job("second", "worker-2")
    run.post("/jobs/killed")
    run.command("flask", "rq", "worker", "--burst", "--name", "worker-3", role="worker")


APPLICATIONS = [
    Application(
        Image("flask_sqlalchemy_2"),
        setup=(("python", "schema.py"),),
        serve=("gunicorn", *BIND, "shop:app"),
        work=("rq", "worker", "--url", "REDIS_URL", *BURST),
        web_leak=Leak("shop.py", "connection = db.engine.connect()"),
        job_leak=Leak("jobs.py", "exports.append("),
        jobs=jobs_of("jobs"),
        has_pre_ping=False,
    ),
    Application(
        Image("flask_sqlalchemy_3", has_launcher=False),
        setup=(("python", "schema.py"),),
        serve=("gunicorn", *BIND, "--workers", "2", "--threads", "4", "shop:create_app()"),
        work=("rq", "worker", "--url", "REDIS_URL", *BURST),
        web_leak=Leak("shop/reports.py", "connection = db.engine.connect()"),
        job_leak=Leak("tasks.py", "exports.append("),
        jobs=jobs_of("tasks"),
        workers=2,
    ),
    Application(
        Image("several_engines"),
        setup=(("python", "schema.py"),),
        serve=("gunicorn", *BIND, "--threads", "2", "web:app"),
        work=("rq", "worker", "--url", "REDIS_URL", *BURST),
        web_leak=Leak("web.py", "connection = replica.connect()"),
        job_leak=Leak("jobs.py", "return Session.scalar("),
        jobs=jobs_of("jobs"),
        more=_engines,
        checkouts={"web": 10, "worker": 3},
        by_engine={"primary": 2, "replica": 6, "archive": 2},
        has_pre_ping=False,
    ),
    Application(
        Image("factory_cli", {"FLASK_APP": "inventory"}, has_launcher=False),
        setup=(("flask", "stock", "seed"),),
        serve=("gunicorn", *BIND, "--preload", "inventory:create_app()"),
        work=("rq", "worker", "--url", "REDIS_URL", *BURST),
        web_leak=Leak("inventory/stock.py", "connection = Session.get_bind().connect()"),
        job_leak=Leak("inventory/jobs.py", "exports.append("),
        jobs=jobs_of("inventory.jobs"),
        first=_commands,
        checkouts={"web": 9, "worker": 3},
        has_pre_ping=False,
    ),
    Application(
        Image("queue_jobs", {"FLASK_APP": "billing"}),
        setup=(("python", "manage.py", "migrate"),),
        serve=("gunicorn", *BIND, "billing:create_app()"),
        work=("python", "manage.py", "rqworker", *BURST),
        web_leak=Leak("billing/jobs.py", "exports.append("),
        job_leak=Leak("billing/jobs.py", "exports.append("),
        jobs={**jobs_of("billing.jobs", killed="killed"), ("billing.jobs.invoice", "finished"): 3},
        more=_second_worker,
        checkouts={"web": 8, "worker": 6},
        worker_retries=1,
        killed_jobs=1,
    ),
    Application(
        Image("gevent_feed", has_launcher=False),
        setup=(("python", "schema.py"),),
        serve=("gunicorn", *BIND, "--config", "gunicorn.conf.py", "feed:app"),
        work=("rq", "worker", "--url", "REDIS_URL", *BURST),
        web_leak=Leak("feed.py", "connection = engine.connect()"),
        job_leak=Leak("jobs.py", "exports.append("),
        jobs=jobs_of("jobs"),
        more=_slow,
        checkouts={"web": 14, "worker": 3},
    ),
    Application(
        Image("own_sitecustomize", {"PYTHONPATH": "{code}/lib:{code}/app"}),
        setup=(("python", "-m", "schema"),),
        serve=("gunicorn", *BIND, "catalog:app"),
        work=("rq", "worker", "--url", "REDIS_URL", *BURST),
        web_leak=Leak("lib/company_database.py", "return engine.connect()"),
        job_leak=Leak("lib/company_database.py", "return engine.connect()"),
        jobs=jobs_of("jobs"),
        more=_children,
        checkouts={"web": 9, "worker": 3},
    ),
    Application(
        Image("locked_down", entrypoint=("./entrypoint.sh",), is_locked=True, log="stdout"),
        setup=(("python", "schema.py"),),
        serve=("gunicorn", *BIND, "portal:app"),
        work=("rq", "worker", "--url", "REDIS_URL", *BURST),
        web_leak=Leak("portal.py", "connection = engine.connect()"),
        job_leak=Leak("jobs.py", "exports.append("),
        jobs=jobs_of("jobs"),
        more=_proxies,
    ),
]
