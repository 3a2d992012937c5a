"""Flask-SQLAlchemy's extension inside and outside of an application context."""

from __future__ import annotations

import threading

import pytest
import sqlalchemy as sa
from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from redis import Redis
from rq import Queue
from sqlalchemy.pool import QueuePool

from tests.sessions.extension import IS_VERSION_3, use
from ullage import sessions


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
