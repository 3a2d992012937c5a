"""Jobs, and asking for them."""

import os

from flask import Blueprint
from redis import Redis
from rq import Queue
from sqlalchemy import func, select

from inventory.database import Item, Session, init_engine

blueprint = Blueprint("jobs", __name__)
exports = []


def total():
    """Add the stock up."""
    return int(Session.scalar(select(func.sum(Item.quantity))))


def invoice():
    """Do a job on an engine that is made for it."""
    init_engine(os.environ["DATABASE_URL"])
    with Session():
        return total()


def export():
    """Forget a connection."""
    init_engine(os.environ["DATABASE_URL"])
    exports.append(Session.get_bind().connect())
    return exports[-1].scalar(select(func.count()).select_from(Item))


def broken():
    """Fail."""
    init_engine(os.environ["DATABASE_URL"])
    with Session():
        raise ValueError(f"{total()} are too many")


@blueprint.post("/<name>")
def enqueue(name):
    """Have a job performed."""
    queue().enqueue(f"inventory.jobs.{name}", job_id=name)
    return "", 202


@blueprint.get("/<name>")
def show(name):
    """Tell what became of a job."""
    job = queue().fetch_job(name)
    return {"status": job.get_status(), "result": job.return_value()}


def queue():
    """Return the queue."""
    return Queue(connection=Redis.from_url(os.environ["REDIS_URL"]))
