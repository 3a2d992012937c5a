"""Orders: check, store, list and show them; used by the web and by tasks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session, selectinload

from app.models import Order, OrderLine
from app.validation import Check

MAX_CUSTOMER = 100
MAX_LINES = 100
ORDER_FIELDS = frozenset({"customer", "lines"})
LINE_FIELDS = frozenset({"sku", "quantity", "unit_price"})


def parse_order(payload: object) -> Order:
    """Check an order as it came from JSON or a form, and give it unsaved."""
    check = Check()
    if not isinstance(payload, dict):
        check.refuse("body", payload, "a JSON object with customer and lines")
        check.stop()
    check.known_fields("", payload, ORDER_FIELDS)
    customer = check.text("customer", payload.get("customer"), MAX_CUSTOMER)
    lines = payload.get("lines")
    if not isinstance(lines, list) or not 1 <= len(lines) <= MAX_LINES:
        check.refuse("lines", lines, f"a list of 1 to {MAX_LINES} lines with sku, quantity and unit_price")
        check.stop()
    order = Order(customer=customer, lines=[_parse_line(check, i, line) for i, line in enumerate(lines)])
    check.finish()
    return order


def list_orders(session: Session, limit: int, offset: int) -> tuple[Sequence[Order], int]:
    """Give one page of orders, newest first, with their lines, and the number of all orders."""
    newest_first = select(Order).order_by(Order.created_at.desc(), Order.id.desc())
    page = newest_first.options(selectinload(Order.lines)).limit(limit).offset(offset)
    total = session.scalar(select(func.count()).select_from(Order)) or 0
    return session.scalars(page).all(), total


def find_order(session: Session, order_id: int) -> Order | None:
    """Give an order with its lines, or nothing."""
    return session.get(Order, order_id, options=[selectinload(Order.lines)])


def order_to_json(order: Order) -> dict[str, Any]:
    """Give an order as the API shows it."""
    return {
        "id": order.id,
        "customer": order.customer,
        "created_at": f"{order.created_at.isoformat()}Z",
        "total": money(order.total_cents),
        "lines": [
            {"sku": line.sku, "quantity": line.quantity, "unit_price": money(line.unit_price_cents)}
            for line in order.lines
        ],
    }


def money(cents: int) -> str:
    """Write cents as a decimal; text, because a JSON number would become a float."""
    return f"{cents // 100}.{cents % 100:02}"


def _parse_line(check: Check, index: int, line: object) -> OrderLine:
    name = f"lines[{index}]"
    if not isinstance(line, dict):
        check.refuse(name, line, "an object with sku, quantity and unit_price")
        check.stop()
    check.known_fields(f"{name}.", line, LINE_FIELDS)
    return OrderLine(
        sku=check.sku(f"{name}.sku", line.get("sku")),
        quantity=check.quantity(f"{name}.quantity", line.get("quantity")),
        unit_price_cents=check.cents(f"{name}.unit_price", line.get("unit_price")),
    )
