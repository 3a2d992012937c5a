"""Reports, one of which does not close what it opens."""

from flask import Blueprint
from sqlalchemy import func, select, text

from shop.extensions import db
from shop.models import Order

blueprint = Blueprint("reports", __name__)
exports = []


def total():
    """Add up the orders."""
    return int(db.session.scalar(select(func.sum(Order.quantity))) or 0)


@blueprint.get("/crash")
def crash():
    """Fail in the middle of a transaction."""
    return str(total() / 0)


@blueprint.get("/export")
def export():
    """Forget a connection."""
    connection = db.engine.connect()
    exports.append(connection)
    return [row.item for row in connection.execute(text("SELECT item FROM orders"))]
