"""A portal behind a proxy that it trusts itself; its logging leaves no other logger on."""

import logging.config
import os

from flask import Flask, request
from models import Order, Session, engine
from redis import Redis
from rq import Queue
from sqlalchemy import func, select
from werkzeug.middleware.proxy_fix import ProxyFix

logging.config.dictConfig(
    {
        "version": 1,
        "formatters": {"short": {"format": "%(levelname)s [%(name)s] %(message)s"}},
        "handlers": {"stdout": {"class": "logging.StreamHandler", "formatter": "short", "stream": "ext://sys.stdout"}},
        "root": {"level": "INFO", "handlers": ["stdout"]},
    }
)

app = Flask(__name__)
app.wsgi_app = ProxyFix(app.wsgi_app, x_for=2, x_proto=1, x_host=1, x_prefix=1)
queue = Queue(connection=Redis.from_url(os.environ["REDIS_URL"]))
exports = []


@app.teardown_request
def release(_error):
    """Release the session at the end of every request."""
    Session.remove()


@app.get("/ping")
def ping():
    """Answer without a query."""
    return "pong\n"


@app.get("/client")
def client():
    """Tell who asks, and how they reached the portal."""
    app.logger.info("asked by %s", request.remote_addr)
    return {"address": request.remote_addr, "url": request.url, "route": request.access_route}


@app.get("/process")
def process():
    """Tell what this process may do."""
    mask = os.umask(0o077)
    os.umask(mask)
    try:
        with open(__file__, "a"):  # noqa: PTH123 - as people write it
            root = "writable"
    except OSError as error:
        root = error.strerror
    return {"uid": os.geteuid(), "umask": oct(mask), "root": root}


@app.post("/orders")
def create():
    """Take an order."""
    order = Order(**request.get_json())
    Session.add(order)
    Session.flush()
    answer = {"id": order.id, "item": order.item}
    Session.commit()
    return answer, 201


@app.get("/orders/<int:number>")
def show(number):
    """Show an order."""
    order = Session.get(Order, number)
    return {"id": order.id, "item": order.item, "quantity": order.quantity} if order else ("no such order\n", 404)


@app.get("/crash")
def crash():
    """Fail in the middle of a transaction."""
    return str(Session.scalar(select(func.count()).select_from(Order)) / 0)


@app.get("/export")
def export():
    """Forget a connection."""
    connection = engine.connect()
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
