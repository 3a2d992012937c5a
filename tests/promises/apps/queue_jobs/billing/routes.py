"""Billing over HTTP."""

from flask import Blueprint, request

from billing import jobs
from billing.database import Order, Session
from billing.extension import rq

blueprint = Blueprint("billing", __name__)


@blueprint.get("/ping")
def ping():
    """Answer without a query."""
    return "pong\n"


@blueprint.post("/orders")
def create():
    """Take an order."""
    order = Order(**request.get_json())
    Session.add(order)
    Session.flush()
    answer = {"id": order.id, "item": order.item}
    Session.commit()
    return answer, 201


@blueprint.get("/orders/<int:number>")
def show(number):
    """Show an order."""
    order = Session.get(Order, number)
    if order is None:
        return {"error": "no such order"}, 404
    return {"id": order.id, "item": order.item, "quantity": order.quantity}


@blueprint.get("/crash")
def crash():
    """Fail in the middle of a transaction."""
    return str(jobs.total() / 0)


@blueprint.get("/export")
def export():
    """Forget a connection, in a function that is a job too."""
    return str(jobs.export())


@blueprint.post("/jobs/<name>")
def enqueue(name):
    """Have a job performed."""
    getattr(jobs, request.args.get("function", name)).queue(job_id=name)
    return "", 202


@blueprint.get("/jobs/<name>")
def show_job(name):
    """Tell what became of a job."""
    job = rq.get_queue().fetch_job(name)
    return {"status": job.get_status(), "result": job.return_value()}
