"""A shop as tutorials of 2021 have it: one module, one global application, and Model.query."""

import os

from flask import Flask, abort, jsonify, request
from flask_sqlalchemy import SQLAlchemy
from redis import Redis
from rq import Queue

app = Flask(__name__)
app.config.update(
    SQLALCHEMY_DATABASE_URI=os.environ["DATABASE_URL"],
    SQLALCHEMY_TRACK_MODIFICATIONS=False,
    SQLALCHEMY_ENGINE_OPTIONS={"pool_size": 5, "pool_recycle": 280},
)
db = SQLAlchemy(app)
queue = Queue(connection=Redis.from_url(os.environ["REDIS_URL"]))
exports = []


class Order(db.Model):
    """What was ordered."""

    id = db.Column(db.Integer, primary_key=True)
    item = db.Column(db.String(40), nullable=False)
    quantity = db.Column(db.Integer, nullable=False)


@app.route("/ping")
def ping():
    """Answer without a query."""
    return "pong\n"


@app.route("/orders", methods=["POST"])
def create():
    """Take an order."""
    order = Order(**request.get_json())
    db.session.add(order)
    db.session.flush()
    answer = jsonify(id=order.id, item=order.item)
    db.session.commit()
    return answer, 201


@app.route("/orders/<int:number>")
def show(number):
    """Show an order."""
    order = Order.query.get_or_404(number)
    return jsonify(id=order.id, item=order.item, quantity=order.quantity)


@app.route("/crash")
def crash():
    """Fail in the middle of a transaction."""
    return str(Order.query.count() / 0)


@app.route("/export")
def export():
    """Forget a connection."""
    connection = db.engine.connect()
    exports.append(connection)
    return jsonify([row[0] for row in connection.execute(db.text("SELECT item FROM `order`"))])


@app.route("/jobs/<name>", methods=["POST"])
def enqueue(name):
    """Have a job performed."""
    queue.enqueue("jobs." + name, job_id=name)
    return "", 202


@app.route("/jobs/<name>")
def job(name):
    """Tell what became of a job."""
    found = queue.fetch_job(name)
    if found is None:
        abort(404)
    return jsonify(status=found.get_status(), result=found.result)
