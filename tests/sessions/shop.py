"""A throw-away project whose jobs use a database, and the worker process that performs them."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import uuid
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from prometheus_client import CollectorRegistry
from redis import Redis
from rq import Queue
from rq.job import Job

from ullage.collector import Collector

ROOT = Path(__file__).parents[2]

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
