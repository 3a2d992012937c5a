"""`/orders`: create, list and show."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, abort, request, url_for

from app import db
from app.models import Order
from app.orders import find_order, list_orders, order_to_json, parse_order
from app.web.pagination import Page

blueprint = Blueprint("orders", __name__)


@blueprint.post("/orders")
def create() -> tuple[dict[str, Any], int, dict[str, str]]:
    """Store an order."""
    order = parse_order(request.get_json())
    db.Session.add(order)
    db.Session.commit()
    return order_to_json(order), 201, {"Location": url_for("orders.show", order_id=order.id)}


@blueprint.get("/orders")
def index() -> dict[str, Any]:
    """List orders, newest first."""
    page = Page.from_request()
    found, total = list_orders(db.Session(), page.limit, page.offset)
    return page.to_json("orders.index", [order_to_json(order) for order in found], total)


@blueprint.get("/orders/<int(max=2147483647):order_id>")
def show(order_id: int) -> dict[str, Any]:
    """Show one order."""
    return order_to_json(get_order(order_id))


def get_order(order_id: int) -> Order:
    """Give an order, or answer 404."""
    order = find_order(db.Session(), order_id)
    if order is None:
        abort(404, f"there is no order {order_id}; the list is at {url_for('orders.index')}")
    return order
