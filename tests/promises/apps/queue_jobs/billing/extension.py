"""RQ as an extension of Flask: `@rq.job` gives a function `.queue()`, and `flask rq worker` performs it."""

import click
from flask import current_app
from flask.cli import AppGroup
from redis import Redis
from rq import Queue

from billing.worker import BillingWorker


class RQ:
    """The extension."""

    def __init__(self):
        self.cli = AppGroup("rq", help="Work on jobs.")

    def init_app(self, app):
        """Register with an application."""
        app.extensions["rq"] = self
        app.cli.add_command(self.cli)

    @property
    def connection(self):
        """Return a connection to the application's Redis."""
        return Redis.from_url(current_app.config["RQ_REDIS_URL"])

    def get_queue(self, name="default"):
        """Return a queue."""
        return Queue(name, connection=self.connection)

    def job(self, function):
        """Make a function a job."""
        function.queue = lambda *arguments, **options: self.get_queue().enqueue(function, *arguments, **options)
        return function


rq = RQ()


@rq.cli.command("worker")
@click.option("--burst", is_flag=True)
@click.option("--name")
@click.argument("queues", nargs=-1)
def work(burst, name, queues):
    """Work within the application's context, as such wrappers do."""
    found = [rq.get_queue(queue) for queue in queues or ("default",)]
    BillingWorker(found, name=name, connection=rq.connection).work(burst=burst)
