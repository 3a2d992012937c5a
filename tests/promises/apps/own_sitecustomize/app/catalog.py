"""A catalog that finds its own modules by PYTHONPATH, and starts programs."""

import os
import subprocess
import sys

import sitecustomize
from company_database import Session, get_connection
from flask import Flask, request
from models import Order
from redis import Redis
from rq import Queue
from sqlalchemy import func, select

app = Flask(__name__)
queue = Queue(connection=Redis.from_url(os.environ["REDIS_URL"]))
exports = []


@app.get("/ping")
def ping():
    """Answer without a query."""
    return "pong\n"


@app.get("/site")
def site():
    """Tell what the company's module did."""
    return {"file": sitecustomize.__file__, "region": os.environ["SHOP_REGION"], "name": sitecustomize.__name__}


@app.post("/orders")
def create():
    """Take an order."""
    with Session() as session:
        order = Order(**request.get_json())
        session.add(order)
        session.flush()
        answer = {"id": order.id, "item": order.item}
        session.commit()
    return answer, 201


@app.get("/orders/<int:number>")
def show(number):
    """Show an order."""
    with Session() as session:
        order = session.get(Order, number)
    return {"id": order.id, "item": order.item, "quantity": order.quantity} if order else ("no such order\n", 404)


@app.get("/child")
def child():
    """Let another program count."""
    done = subprocess.run([sys.executable, "-m", "count_orders"], stdout=subprocess.PIPE, text=True, check=False)
    return {"status": done.returncode, "stdout": done.stdout}


@app.get("/crash")
def crash():
    """Fail in the middle of a transaction."""
    with Session() as session:
        return str(session.scalar(select(func.count()).select_from(Order)) / 0)


@app.get("/export")
def export():
    """Forget a connection."""
    connection = get_connection()
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
