"""A feed with many slow readers, each a greenlet, on few connections."""

import os

from flask import Flask, request
from redis import Redis
from rq import Queue
from sqlalchemy import String, create_engine, func, select, text
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

app = Flask(__name__)
engine = create_engine(os.environ["DATABASE_URL"], pool_size=2, max_overflow=1, pool_pre_ping=True)
exports = []


class Base(DeclarativeBase):
    """The models' base."""


class Order(Base):
    """What was ordered."""

    __tablename__ = "orders"
    id: Mapped[int] = mapped_column(primary_key=True)
    item: Mapped[str] = mapped_column(String(40))
    quantity: Mapped[int]


@app.get("/ping")
def ping():
    """Answer without a query."""
    return "pong\n"


@app.post("/orders")
def create():
    """Take an order."""
    with Session(engine) as session:
        order = Order(**request.get_json())
        session.add(order)
        session.flush()
        answer = {"id": order.id, "item": order.item}
        session.commit()
    return answer, 201


@app.get("/orders/<int:number>")
def show(number):
    """Show an order."""
    with Session(engine) as session:
        order = session.get(Order, number)
    return {"id": order.id, "item": order.item, "quantity": order.quantity} if order else ("no such order\n", 404)


@app.get("/slow/<int:number>")
def slow(number):
    """Stay in the database for a while."""
    with engine.connect() as connection:
        return {"number": number, "slept": connection.scalar(text("SELECT SLEEP(0.1)"))}


@app.get("/crash")
def crash():
    """Fail in the middle of a transaction."""
    with Session(engine) as session:
        return str(session.scalar(select(func.count()).select_from(Order)) / 0)


@app.get("/export")
def export():
    """Forget a connection."""
    connection = engine.connect()
    exports.append(connection)
    return [row.item for row in connection.execute(select(Order.item).order_by(Order.id))]


@app.post("/jobs/<name>")
def enqueue(name):
    """Have a job performed."""
    queue().enqueue(f"jobs.{name}", job_id=name)
    return "", 202


@app.get("/jobs/<name>")
def job(name):
    """Tell what became of a job."""
    found = queue().fetch_job(name)
    return {"status": found.get_status(), "result": found.return_value()}


def queue():
    """Return the queue."""
    return Queue(connection=Redis.from_url(os.environ["REDIS_URL"]))
