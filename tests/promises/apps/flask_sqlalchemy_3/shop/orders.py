"""Orders over HTTP."""

from flask import Blueprint, request

from shop.extensions import db
from shop.models import Order

blueprint = Blueprint("orders", __name__)


@blueprint.post("")
def create():
    """Take an order."""
    order = Order(**request.get_json())
    db.session.add(order)
    db.session.flush()
    answer = {"id": order.id, "item": order.item}
    db.session.commit()
    return answer, 201


@blueprint.get("/<int:number>")
def show(number):
    """Show an order."""
    order = db.get_or_404(Order, number)
    return {"id": order.id, "item": order.item, "quantity": order.quantity}
