"""Sessions without an application, on real workers: Flask-SQLAlchemy and plain SQLAlchemy, SQLite and MariaDB."""

from __future__ import annotations

import logging
import os
import re
import subprocess
import sys
import textwrap
import threading
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from prometheus_client import CollectorRegistry
from redis import Redis
from rq import Queue
from rq.job import Callback, Job
from sqlalchemy.orm import scoped_session, sessionmaker
from sqlalchemy.pool import QueuePool

from tests import servers
from ullage import sessions
from ullage.collector import Collector

IS_VERSION_3 = hasattr(SQLAlchemy, "engines")
ROOT = Path(__file__).parents[1]

FLASK_SQLALCHEMY = """
    import os
    import ullage.sessions
    from flask_sqlalchemy import SQLAlchemy
    from sqlalchemy.pool import QueuePool

    db = SQLAlchemy()
    Session = db.session

    class Order(db.Model):
        __tablename__ = "orders"
        id = db.Column(db.Integer, primary_key=True)
        note = db.Column(db.String(80))

    OPTIONS = {"pool_size": 1, "max_overflow": 0, "pool_timeout": 0.5, "poolclass": QueuePool}
    ullage.sessions.use(db, url=os.environ["DATABASE_URL"], **OPTIONS)

    def engine():
        return db.engine
"""
PLAIN = """
    import os
    import ullage.sessions
    from sqlalchemy import Column, Integer, String, create_engine
    from sqlalchemy.orm import declarative_base, scoped_session, sessionmaker
    from sqlalchemy.pool import QueuePool

    OPTIONS = {"pool_size": 1, "max_overflow": 0, "pool_timeout": 0.5, "poolclass": QueuePool}
    _engine = create_engine(os.environ["DATABASE_URL"], **OPTIONS)
    Session = scoped_session(sessionmaker(bind=_engine))
    ullage.sessions.use(Session)

    class Order(declarative_base()):
        __tablename__ = "orders"
        id = Column(Integer, primary_key=True)
        note = Column(String(80))

    def engine():
        return _engine
"""
TASKS = """
    import sys
    from shop.models import Order, Session, engine

    def add(note):
        Session.add(Order(note=note))
        Session.commit()

    def forget(note):
        '''Neither committed nor released.'''
        Session.add(Order(note=note))
        Session.flush()

    def fail():
        forget("failed")
        raise ValueError("no")

    def hang():
        forget("hung")
        while True:
            pass

    def notes():
        return [note for (note,) in Session.query(Order.note).order_by(Order.id)]

    def look(_):
        '''A query, and what was out of the pool before it.'''
        out = engine().pool.checkedout()
        Session.query(Order).count()
        return out

    def flask_state():
        import flask
        return flask.has_app_context(), "app" in sys.modules

    def callback(job, connection, result, *_):
        forget("callback")
"""
WORK = """
    import os, sys, rq
    from redis import Redis
    url, worker, queue, preload = sys.argv[1:]
    if "ULLAGE_DIR" in os.environ:
        import ullage
        assert ullage.install() is (os.environ.get("ULLAGE_ENABLED") != "0")
    if preload:
        import importlib
        importlib.import_module(preload)
    connection = Redis.from_url(url)
    getattr(rq, worker)([queue], connection=connection).work(burst=True, logging_level="WARNING")
    if preload:
        getattr(sys.modules[preload], "at_the_end", lambda: None)()
    engine = getattr(sys.modules.get("shop.tasks"), "engine", None)
    assert engine is None or engine().pool.checkedout() == 0, "a connection is out after the last job"
"""


class Shop:
    """A throw-away project: its models, its tasks, a queue and a database."""

    def __init__(self, directory: Path, redis: Redis, redis_url: str, database_url: str) -> None:
        self.directory = directory
        self.redis_url = redis_url
        self.database_url = database_url
        self.queue = Queue(f"test-{uuid.uuid4().hex}", connection=redis)
        self.segments = directory / "segments"
        self.segments.mkdir()
        (directory / "shop").mkdir()
        self.write("__init__", "")
        self.write("tasks", TASKS)
        engine = sa.create_engine(database_url)
        with engine.begin() as connection:
            connection.execute(
                sa.text(
                    "CREATE TABLE orders (id INTEGER PRIMARY KEY AUTO_INCREMENT, note VARCHAR(80))"
                    if engine.dialect.name == "mysql"
                    else "CREATE TABLE orders (id INTEGER PRIMARY KEY, note VARCHAR(80))"
                )
            )
        engine.dispose()

    def write(self, module: str, text: str) -> None:
        """Write a module of the package `shop`."""
        (self.directory / "shop" / f"{module}.py").write_text(textwrap.dedent(text))

    def enqueue(self, task: str, *args: Any, **options: Any) -> Job:
        """Enqueue one of the tasks."""
        return self.queue.enqueue(f"shop.tasks.{task}", *args, **options)

    def work(self, worker: str, *, measured: bool = True, preload: str = "", **environ: str) -> None:
        """Perform every job in a process of its own, with ullage installed or with ULLAGE_ENABLED=0."""
        clean = {name: value for name, value in os.environ.items() if not name.startswith("ULLAGE_")}
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(WORK), self.redis_url, worker, self.queue.name, preload],
            cwd=self.directory,
            env={
                **clean,
                "PYTHONPATH": os.pathsep.join([str(self.directory), str(ROOT / "exporter")]),
                "DATABASE_URL": self.database_url,
                "ULLAGE_DIR": str(self.segments),
                "ULLAGE_ENABLED": "1" if measured else "0",
                **environ,
            },
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr

    def notes(self) -> list[str]:
        """Return the orders that were committed."""
        engine = sa.create_engine(self.database_url)
        with engine.connect() as connection:
            found = [note for (note,) in connection.execute(sa.text("SELECT note FROM orders ORDER BY id"))]
        engine.dispose()
        return found

    def leaks(self) -> dict[str, float]:
        """Return the leaks counted, by kind."""
        registry = CollectorRegistry(auto_describe=False)
        registry.register(Collector(self.segments))
        samples = [sample for family in registry.collect() for sample in family.samples]
        return {
            sample.labels["kind"]: sample.value
            for sample in samples
            if sample.name == "ullage_leaks_total" and sample.value
        }


@pytest.fixture
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Give the URL of an empty database: SQLite's, unless the test asks for MariaDB's."""
    if getattr(request, "param", "sqlite") == "mariadb":
        return str(request.getfixturevalue("mariadb_database"))
    return f"sqlite:///{tmp_path}/shop.db"


@pytest.fixture
def make_shop(redis_server: servers.Redis, tmp_path: Path, database_url: str) -> Any:
    """Give a function that makes the project from its models."""
    with Redis.from_url(redis_server.url) as redis:

        def make(models: str = FLASK_SQLALCHEMY) -> Shop:
            shop = Shop(tmp_path, redis, redis_server.url, database_url)
            shop.write("models", models)
            return shop

        yield make


both_kinds = pytest.mark.parametrize(
    "models", [pytest.param(FLASK_SQLALCHEMY, id="flask_sqlalchemy"), pytest.param(PLAIN, id="plain")]
)
both_workers = pytest.mark.parametrize("worker", ["SimpleWorker", "Worker"])
with_and_without_probe = pytest.mark.parametrize(
    "measured", [pytest.param(True, id="measured"), pytest.param(False, id="not-measured")]
)


class TestInAWorker:
    """What a job can rely on."""

    @both_kinds
    @both_workers
    def test_a_job_uses_the_session_and_the_model_without_an_application(self, make_shop, models, worker):
        """Rows are written and read by jobs in which no context was pushed."""
        shop = make_shop(models)
        shop.enqueue("add", "one")
        found, state = shop.enqueue("notes"), shop.enqueue("flask_state")
        shop.work(worker)
        assert found.return_value() == ["one"]
        assert state.return_value() == (False, False)
        assert shop.leaks() == {}

    @both_workers
    @with_and_without_probe
    def test_the_session_is_removed_at_the_end_of_every_job(self, make_shop, worker, measured):
        """With a pool of one connection, none of six jobs meets that of the job before, and none is out at the end."""
        shop = make_shop()
        jobs = [shop.enqueue("look", number) for number in range(6)]
        shop.work(worker, measured=measured)
        assert [job.return_value() for job in jobs] == [0] * 6
        assert shop.leaks() == {}

    @pytest.mark.parametrize(
        ("database_url", "models", "worker", "measured"),
        [
            pytest.param("mariadb", FLASK_SQLALCHEMY, "SimpleWorker", True, id="flask_sqlalchemy"),
            pytest.param("mariadb", FLASK_SQLALCHEMY, "Worker", True, id="flask_sqlalchemy-forking"),
            pytest.param("sqlite", FLASK_SQLALCHEMY, "SimpleWorker", False, id="flask_sqlalchemy-not-measured"),
            pytest.param("sqlite", PLAIN, "SimpleWorker", True, id="plain"),
            pytest.param("mariadb", PLAIN, "SimpleWorker", False, id="plain-not-measured"),
        ],
        indirect=["database_url"],
    )
    def test_the_next_job_does_not_commit_what_a_job_forgot(self, make_shop, models, worker, measured):
        """Rows of jobs that did not commit, failed or timed out never appear, also when a job commits after them."""
        shop = make_shop(models)
        shop.enqueue("forget", "forgotten")
        shop.enqueue("add", "one")
        shop.enqueue("fail")
        shop.enqueue("add", "two")
        shop.enqueue("hang", job_timeout=1)
        shop.enqueue("add", "three")
        shop.work(worker, measured=measured)
        assert shop.notes() == ["one", "two", "three"]
        assert shop.leaks() == {}

    def test_a_callback_is_part_of_its_job(self, make_shop):
        """What RQ's success callback leaves in the session is released before the next job."""
        shop = make_shop()
        shop.enqueue("add", "one", on_success=Callback("shop.tasks.callback"))
        shop.enqueue("add", "two")
        shop.work("SimpleWorker")
        assert shop.notes() == ["one", "two"]
        assert shop.leaks() == {}

    def test_a_workers_own_clean_up_is_part_of_the_job(self, make_shop):
        """What a worker's subclass queries after `super().perform_job()` is released before it is judged."""
        shop = make_shop()
        shop.write(
            "preload",
            """
            import rq
            from shop import tasks

            class SimpleWorker(rq.SimpleWorker):
                def perform_job(self, *args, **kwargs):
                    try:
                        return super().perform_job(*args, **kwargs)
                    finally:
                        tasks.notes()

            rq.SimpleWorker = SimpleWorker
            """,
        )
        shop.enqueue("add", "one")
        shop.work("SimpleWorker", preload="shop.preload")
        assert shop.notes() == ["one"]
        assert shop.leaks() == {}

    @pytest.mark.parametrize(
        ("database_url", "models", "measured"),
        [
            pytest.param("mariadb", FLASK_SQLALCHEMY, True, id="flask_sqlalchemy"),
            # An engine of the application's own is the fork probe's to dispose of.
            pytest.param("mariadb", FLASK_SQLALCHEMY, False, id="flask_sqlalchemy-not-measured"),
            pytest.param("mariadb", PLAIN, True, id="plain"),
        ],
        indirect=["database_url"],
    )
    def test_a_work_horse_leaves_its_parents_session_alone(self, make_shop, models, measured):
        """A preloaded worker with an open transaction keeps it, and its horses have connections of their own."""
        shop = make_shop(models)
        shop.write(
            "preload",
            """
            from shop import tasks
            tasks.forget("parent")

            def at_the_end():
                tasks.Session.commit()
            """,
        )
        jobs = [shop.enqueue("add", f"child {number}") for number in range(3)]
        shop.work("Worker", measured=measured, preload="shop.preload")
        assert {job.get_status() for job in jobs} == {"finished"}
        assert sorted(shop.notes()) == ["child 0", "child 1", "child 2", "parent"]

    def test_strict_does_not_fail_a_job_for_what_is_released_for_it(self, make_shop):
        """Under `strict` a job that leaves the release to ullage.sessions finishes, on a forking worker too."""
        shop = make_shop()
        jobs = [shop.enqueue("look", number) for number in range(2)]
        shop.work("SimpleWorker", ULLAGE_POLICY="strict")
        jobs.append(shop.enqueue("look", 2))
        shop.work("Worker", ULLAGE_POLICY="strict")
        assert [(job.get_status(), job.return_value()) for job in jobs] == [("finished", 0)] * 3


@pytest.mark.parametrize("section", ["With Flask-SQLAlchemy", "With SQLAlchemy alone"])
def test_the_documented_examples_run(make_shop, section):
    """Tasks and web application of docs/sessions.md work as they stand there, in a worker that imported both."""
    shop = make_shop()
    text = (ROOT / "docs" / "sessions.md").read_text().partition(f"## {section}\n")[2].partition("\n## ")[0]
    modules = dict(re.findall(r"```python\n# shop/(\w+)\.py\n(.*?)```", text, re.DOTALL))
    assert set(modules) == {"models", "tasks", "web"}
    for name, code in modules.items():
        shop.write(name, code)
    shop.write(
        "preload",
        """
        from shop.web import create_app

        def at_the_end():
            assert create_app().test_client().get("/").text == "2"
        """,
    )
    jobs = [shop.enqueue("add", note) for note in ("one", "two")]
    shop.work("SimpleWorker", preload="shop.preload")
    assert [job.return_value() for job in jobs] == [1, 2]
    assert shop.leaks() == {}


@pytest.fixture
def db(tmp_path: Path) -> SQLAlchemy:
    """Give an extension in use outside of contexts, with a model on each of two databases."""
    db = SQLAlchemy()
    kinds = {"Order": None, "Entry": "log"}
    for name, bind in kinds.items():
        body = {"__tablename__": name.lower(), "__module__": __name__, "id": db.Column(db.Integer, primary_key=True)}
        setattr(db, name, type(name, (db.Model,), body if bind is None else {**body, "__bind_key__": bind}))
    use(db, tmp_path)
    db.create_all()
    return db


def use(db: SQLAlchemy, directory: Path, **options: Any) -> None:
    """Call `use` with two databases in a directory."""
    sessions.use(db, f"sqlite:///{directory}/shop.db", binds={"log": f"sqlite:///{directory}/log.db"}, **options)


@pytest.fixture
def app(db: SQLAlchemy) -> Flask:
    """Give an application of the same code base, on databases of its own."""
    app = Flask("web")
    app.config["SQLALCHEMY_DATABASE_URI"] = "sqlite://"
    app.config["SQLALCHEMY_BINDS"] = {"log": "sqlite://"}
    app.config["SQLALCHEMY_TRACK_MODIFICATIONS"] = False
    db.init_app(app)
    return app


class TestFlaskSQLAlchemy:
    """The extension inside and outside of an application context."""

    def test_binds_lead_to_their_own_databases(self, db, tmp_path):
        """A model with a bind key is written to the database of that key, as in the application."""
        db.session.add_all([db.Order(), db.Entry(), db.Entry()])
        db.session.commit()
        assert (db.Order.query.count(), db.Entry.query.count()) == (1, 2)
        log = sa.create_engine(f"sqlite:///{tmp_path}/log.db")
        assert sa.inspect(log).get_table_names() == ["entry"]
        log.dispose()
        sessions.release()

    def test_engine_options_and_the_extensions_own_are_taken(self):
        """Engines are made by the extension itself, with its engine_options and with those given."""
        db = SQLAlchemy(engine_options={"pool_recycle": 77})
        sessions.use(db, "mysql+pymysql://shop@127.0.0.1/shop", pool_pre_ping=True)
        assert db.engine.pool._recycle == 77
        assert db.engine.pool._pre_ping is True
        assert "utf8" in db.engine.url.query["charset"]

    def test_a_context_has_its_own_engine_and_session(self, db, app):
        """With an application pushed, everything is the application's, and its end removes its session alone."""
        outside = db.session()
        with app.app_context():
            assert db.engine.url.database in (None, ":memory:")
            if IS_VERSION_3:
                assert db.session() is not outside
                with app.app_context():
                    inner = db.session()
                assert inner is not db.session()
        if IS_VERSION_3:
            assert db.session() is outside
        assert db.engine.url.database.endswith("shop.db")
        sessions.release()
        assert db.session() is not outside
        sessions.release()

    @pytest.mark.skipif(not IS_VERSION_3, reason="Flask-SQLAlchemy 2 has one session a thread")
    def test_a_job_run_in_a_request_leaves_the_requests_session_alone(self, db, app, redis_server):
        """`is_async=False` performs a job inside the web process: nothing is removed there."""
        with Redis.from_url(redis_server.url) as redis, app.app_context():
            db.create_all()
            db.session.add(db.Order())
            job = Queue("eager", is_async=False, connection=redis).enqueue(abs, -1)
            assert job.return_value() == 1
            assert len(db.session.new) == 1

    @pytest.mark.skipif(not IS_VERSION_3, reason="Flask-SQLAlchemy 2 scopes by thread")
    def test_a_scope_of_the_applications_choice_stays(self, tmp_path):
        """A scopefunc in session_options is not replaced."""
        db = SQLAlchemy(session_options={"scopefunc": threading.get_ident})
        registry = db.session.registry
        use(db, tmp_path, poolclass=QueuePool)
        assert db.session.registry is registry
        db.session.execute(sa.text("SELECT 1"))
        assert db.engine.pool.checkedout() == 1
        sessions.release()
        assert db.engine.pool.checkedout() == 0

    def test_threads_have_a_session_each(self, db):
        """Sessions are one a thread, and a thread that ends without releasing gives its connection back."""
        found = []

        def query() -> None:
            db.session.query(db.Order).all()
            db.session.commit()
            found.append(db.session())

        threads = [threading.Thread(target=query) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len({id(session) for session in found}) == 4
        assert not db.session.registry.has()

    def test_a_subclass_keeps_its_name_and_its_overrides(self, tmp_path):
        """The instance stays one of its class, with what the application's subclass does."""

        class Database(SQLAlchemy):
            def hello(self) -> str:
                return "hello"

        db = Database()
        use(db, tmp_path)
        assert isinstance(db, Database)
        assert (type(db).__name__, db.hello()) == ("Database", "hello")


class TestUse:
    """Calling it again, from several threads, and wrongly."""

    def test_the_same_call_again_changes_nothing(self, db, tmp_path):
        """Modules may call it at import, each time with the same arguments."""
        engine = db.engine
        use(db, tmp_path)
        assert db.engine is engine

    def test_another_database_is_refused(self, db, tmp_path):
        """Two places that disagree get an error, instead of the one that came first."""
        with pytest.raises(ValueError, match="with another database or other options"):
            use(db, tmp_path / "other")

    def test_threads_may_race(self, tmp_path):
        """Eight threads that import the tasks at once get one engine."""
        db, barrier, engines = SQLAlchemy(), threading.Barrier(8), []

        def start() -> None:
            barrier.wait()
            use(db, tmp_path)
            engines.append(db.engine)

        threads = [threading.Thread(target=start) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(engines) == 8
        assert len(set(engines)) == 1

    @pytest.mark.parametrize(
        ("call", "error", "message"),
        [
            pytest.param(lambda: sessions.use(SQLAlchemy()), ValueError, "no database to connect to", id="no-url"),
            pytest.param(
                lambda: sessions.use(SQLAlchemy(), "p@ss"), ValueError, "url is no database URL", id="bad-url"
            ),
            pytest.param(
                lambda: sessions.use(SQLAlchemy(), binds={"log": {"url": "sqlite:///log.db"}}),
                ValueError,
                r"binds\['log'\]\['url'\] names the file 'log.db'.* absolute path",
                id="relative-path",
            ),
            pytest.param(lambda: sessions.use(sessionmaker()), TypeError, "sessionmaker is neither", id="sessionmaker"),
            pytest.param(
                lambda: sessions.use(scoped_session(sessionmaker()), "sqlite://"),
                TypeError,
                "has an engine of its own",
                id="scoped-session-with-url",
            ),
            pytest.param(
                lambda: sessions.use(SQLAlchemy().session),
                TypeError,
                r"call ullage\.sessions\.use\(db, url\) with db itself",
                id="session-of-an-extension",
                marks=pytest.mark.skipif(not IS_VERSION_3, reason="version 2's needs no context"),
            ),
        ],
    )
    def test_a_wrong_call_says_what_to_do(self, call: Callable[[], None], error, message):
        """The error names what was given, and the call that works; a password is never in it."""
        with pytest.raises(error, match=message) as caught:
            call()
        assert "p@ss" not in str(caught.value)

    def test_it_loads_nothing_that_is_not_there(self):
        """`import ullage` loads no sqlalchemy, `ullage.sessions` no flask, and `use(db)` no more than the extension."""
        code = """
            import sys
            import ullage
            assert "sqlalchemy" not in sys.modules
            import ullage.sessions
            assert not {"flask", "rq"} & set(sys.modules)
            from flask_sqlalchemy import SQLAlchemy
            sys.modules["rq"] = None  # as if RQ were not installed
            before = {name.partition(".")[0] for name in sys.modules}
            ullage.sessions.use(SQLAlchemy(), "sqlite://")
            print(*{name.partition(".")[0] for name in sys.modules} - before - set(sys.stdlib_module_names))
        """
        command = [sys.executable, "-W", "ignore", "-c", textwrap.dedent(code)]
        assert subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip() == ""


class TestReleased:
    """What is not an RQ job."""

    @pytest.fixture
    def session(self, tmp_path: Path) -> Any:
        """Give a scoped_session in use."""
        engine = sa.create_engine(f"sqlite:///{tmp_path}/plain.db", poolclass=QueuePool)
        session = scoped_session(sessionmaker(bind=engine))
        sessions.use(session)
        yield session
        session.remove()
        engine.dispose()

    def test_a_block_ends_with_its_sessions(self, session):
        """A `with` block returns the connection, after an error too."""
        with sessions.released():
            session.execute(sa.text("SELECT 1"))
            assert session.get_bind().pool.checkedout() == 1
        assert not session.registry.has()
        with pytest.raises(sa.exc.OperationalError), sessions.released():
            session.execute(sa.text("SELECT nothing"))
        assert session.get_bind().pool.checkedout() == 0

    def test_a_decorated_function_ends_with_its_sessions(self, session):
        """As a decorator it serves every call."""

        @sessions.released()
        def query() -> int:
            return int(session.execute(sa.text("SELECT 42")).scalar())

        assert [query(), query()] == [42, 42]
        assert not session.registry.has()

    def test_the_sessions_of_other_threads_stay(self, session):
        """Only what this thread uses is released."""
        other = session()
        thread = threading.Thread(target=sessions.released()(lambda: session.execute(sa.text("SELECT 1"))))
        thread.start()
        thread.join()
        assert session() is other

    def test_a_session_that_cannot_be_closed_is_dropped_and_logged(self, session, caplog):
        """The work is done by then: one warning, and the next use begins anew."""

        @sa.event.listens_for(session.session_factory, "after_transaction_end")
        def break_off(*_: Any) -> None:
            raise RuntimeError("the listener's own")

        broken = session()
        session.execute(sa.text("SELECT 1"))
        with caplog.at_level(logging.WARNING, "ullage"):
            sessions.release()
        assert "RuntimeError: the listener's own" in caplog.text
        assert session() is not broken
        sa.event.remove(session.session_factory, "after_transaction_end", break_off)
