"""`python manage.py COMMAND`, as Django has it: the tables, and a worker outside any application."""

import argparse
import logging
import os
import sys

from billing.database import Base, engine
from billing.worker import BillingSimpleWorker, BillingWorker
from redis import Redis
from rq import Queue
from rq.logutils import setup_loghandlers


def migrate(_options):
    """Make the tables."""
    Base.metadata.create_all(engine)
    print("tables:", ", ".join(sorted(Base.metadata.tables)))
    return 0


def rqworker(options):
    """Work on queues."""
    setup_loghandlers(logging.INFO)
    connection = Redis.from_url(os.environ["REDIS_URL"])
    kind = BillingSimpleWorker if options.simple else BillingWorker
    queues = [Queue(name, connection=connection) for name in options.queues]
    return 0 if kind(queues, name=options.name, connection=connection).work(burst=options.burst) else 1


def main(arguments):
    """Run a command and return the exit status."""
    parser = argparse.ArgumentParser(prog="manage.py")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("migrate").set_defaults(run=migrate)
    worker = commands.add_parser("rqworker")
    worker.set_defaults(run=rqworker)
    worker.add_argument("--burst", action="store_true")
    worker.add_argument("--simple", action="store_true")
    worker.add_argument("--name")
    worker.add_argument("queues", nargs="*", default=["default"])
    options = parser.parse_args(arguments)
    return options.run(options)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
