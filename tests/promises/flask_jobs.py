"""A Flask-SQLAlchemy application, its jobs, and a web process that was preloaded with a transaction under way."""

from __future__ import annotations

import os

from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import text

db = SQLAlchemy()
app = Flask(__name__)
app.config["SQLALCHEMY_DATABASE_URI"] = os.environ["JOBS_DATABASE"]
if "JOBS_CA" in os.environ:
    app.config["SQLALCHEMY_ENGINE_OPTIONS"] = {"connect_args": {"ssl": {"ca": os.environ["JOBS_CA"]}}}
db.init_app(app)


def connection_id() -> int:
    """Return the server's id of the session's connection."""
    return int(db.session.execute(text("SELECT CONNECTION_ID()")).scalar_one())


def use_session(writer: int) -> int:
    """Write a row in the context that the worker was started in."""
    found = connection_id()
    db.session.execute(text("INSERT INTO rows_of_jobs (writer) VALUES (:writer)"), {"writer": writer})
    db.session.commit()
    return found


@app.get("/connection")
def answer_connection() -> str:
    """Answer with the server's id of the request's connection."""
    return str(connection_id())


def preloaded() -> Flask:
    """Return the application as `gunicorn --preload` has it: connections open, and one amid a transaction."""
    import ullage

    assert ullage.install()
    app.app_context().push()
    print(f"PARENT {connection_id()}", flush=True)
    return app
