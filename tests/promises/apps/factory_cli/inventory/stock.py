"""The stock over HTTP."""

from flask import Blueprint, abort, request
from sqlalchemy import func, select

from inventory.database import Item, Session

blueprint = Blueprint("stock", __name__)
exports = []


@blueprint.post("/orders")
def create():
    """Put something in."""
    item = Item(**request.get_json())
    Session.add(item)
    Session.flush()
    answer = {"id": item.id, "item": item.item}
    Session.commit()
    return answer, 201


@blueprint.get("/orders/<int:number>")
def show(number):
    """Show what there is."""
    item = Session.get(Item, number) or abort(404)
    return {"id": item.id, "item": item.item, "quantity": item.quantity}


@blueprint.get("/crash")
def crash():
    """Fail in the middle of a transaction."""
    return str(Session.scalar(select(func.count()).select_from(Item)) / 0)


@blueprint.get("/export")
def export():
    """Forget a connection."""
    connection = Session.get_bind().connect()
    exports.append(connection)
    return [row.item for row in connection.execute(select(Item.item).order_by(Item.id))]
