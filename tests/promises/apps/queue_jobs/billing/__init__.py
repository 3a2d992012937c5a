"""Billing: little over HTTP, much in jobs. A wrapper of its own stands between Flask and RQ."""

import os

from flask import Flask

from billing import routes
from billing.database import Session
from billing.extension import rq


def create_app():
    """Build the application."""
    app = Flask(__name__)
    app.config["RQ_REDIS_URL"] = os.environ["REDIS_URL"]
    rq.init_app(app)
    app.teardown_appcontext(lambda _error: Session.remove())
    app.register_blueprint(routes.blueprint)
    return app
