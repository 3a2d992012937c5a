"""Jobs over HTTP."""

import os

from flask import Blueprint
from redis import Redis
from rq import Queue

blueprint = Blueprint("jobs", __name__)
queue = Queue(connection=Redis.from_url(os.environ["REDIS_URL"]))


@blueprint.post("/<name>")
def enqueue(name):
    """Have a job performed."""
    queue.enqueue(f"tasks.{name}", job_id=name)
    return "", 202


@blueprint.get("/<name>")
def show(name):
    """Tell what became of a job."""
    job = queue.fetch_job(name)
    return {"status": job.get_status(), "result": job.return_value()}
