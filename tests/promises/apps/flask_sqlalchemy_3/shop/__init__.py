"""A shop made by a factory, with one blueprint a part."""

import os

from flask import Flask

from shop import jobs, orders, reports
from shop.extensions import db


def create_app():
    """Build the application."""
    app = Flask(__name__)
    app.config["SQLALCHEMY_DATABASE_URI"] = os.environ["DATABASE_URL"]
    app.config["SQLALCHEMY_ENGINE_OPTIONS"] = {"pool_pre_ping": True, "pool_size": 4}
    db.init_app(app)
    app.register_blueprint(orders.blueprint, url_prefix="/orders")
    app.register_blueprint(reports.blueprint)
    app.register_blueprint(jobs.blueprint, url_prefix="/jobs")
    app.get("/ping")(lambda: "pong\n")
    return app
