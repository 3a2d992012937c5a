"""The web application: `create_app()` for Gunicorn and for tests."""

from __future__ import annotations

from flask import Flask
from flask.json.provider import DefaultJSONProvider

from app import db
from app.config import Config
from app.orders import money
from app.queue import open_queue
from app.web import errors, faults, health, imports, orders, pages, reports, security, whoami


def create_app(config: Config | None = None) -> Flask:
    """Build the application from a configuration, by default from the environment."""
    config = config or Config.from_environ()
    app = Flask(__name__)
    app.config["MAX_CONTENT_LENGTH"] = config.max_upload_bytes
    assert isinstance(app.json, DefaultJSONProvider)
    app.json.sort_keys = False
    app.extensions["config"] = config
    app.extensions["queue"] = open_queue(config)
    app.add_template_filter(money)
    db.init(config)
    app.teardown_appcontext(_remove_session)
    errors.init_app(app)
    security.init_app(app)
    for group in (orders, reports, imports, faults, health, whoami, pages):
        app.register_blueprint(group.blueprint)
    return app


def _remove_session(_error: BaseException | None) -> None:
    db.Session.remove()
