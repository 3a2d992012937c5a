"""An inventory: an application factory with blueprints and commands of its own for `flask`."""

import os

from flask import Flask

from inventory import commands, jobs, stock
from inventory.database import Session, init_engine


def create_app():
    """Build the application, with an engine of its own."""
    app = Flask(__name__)
    init_engine(os.environ["DATABASE_URL"])
    app.teardown_appcontext(lambda _error: Session.remove())
    app.register_blueprint(stock.blueprint)
    app.register_blueprint(jobs.blueprint, url_prefix="/jobs")
    app.cli.add_command(commands.stock)
    app.get("/ping")(lambda: "pong\n")
    return app
