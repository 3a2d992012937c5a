"""The store over HTTP."""

import logging
import os

from flask import Flask, request
from redis import Redis
from rq import Queue
from sqlalchemy import func, select
from store import Archived, Order, ReadSession, Session, archive, handed_out, replica

logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")

app = Flask(__name__)
queue = Queue(connection=Redis.from_url(os.environ["REDIS_URL"]))
exports = []


@app.teardown_appcontext
def release(_error):
    """Release the session at the end of every request."""
    Session.remove()


@app.get("/ping")
def ping():
    """Answer without a query."""
    return "pong\n"


@app.post("/orders")
def create():
    """Take an order."""
    order = Order(**request.get_json())
    Session.add(order)
    Session.flush()
    answer = {"id": order.id, "item": order.item}
    Session.commit()
    app.logger.info("order %d", answer["id"])
    return answer, 201


@app.get("/orders/<int:number>")
def show(number):
    """Show an order, as the replica has it."""
    with ReadSession() as session:
        order = session.get(Order, number)
        if order is None:
            return {"error": "no such order"}, 404
        return {"id": order.id, "item": order.item, "quantity": order.quantity}


@app.get("/archive")
def old():
    """Count what is archived."""
    with archive.connect() as connection:
        return {"archived": connection.scalar(select(func.count()).select_from(Archived))}


@app.get("/handed-out")
def counted():
    """Tell what the application's own listener counted."""
    return handed_out


@app.get("/crash")
def crash():
    """Fail in the middle of a transaction."""
    return str(Session.scalar(select(func.count()).select_from(Order)) / 0)


@app.get("/export")
def export():
    """Forget a connection to the replica, of which there are two."""
    connection = replica.connect()
    exports.append(connection)
    return [row.item for row in connection.execute(select(Order.item))]


@app.post("/jobs/<name>")
def enqueue(name):
    """Have a job performed."""
    queue.enqueue(f"jobs.{name}", job_id=name)
    return "", 202


@app.get("/jobs/<name>")
def job(name):
    """Tell what became of a job."""
    found = queue.fetch_job(name)
    return {"status": found.get_status(), "result": found.return_value()}
