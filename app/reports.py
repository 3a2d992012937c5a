"""The revenue report: one aggregate query over every order."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import distinct, func, select
from sqlalchemy.orm import Session

from app.models import Order, OrderLine


@dataclass(frozen=True)
class RevenueRow:
    """What one customer bought on one day."""

    day: str
    customer: str
    orders: int
    units: int
    revenue_cents: int


def revenue(session: Session, limit: int, offset: int) -> tuple[list[RevenueRow], int]:
    """Give one page of revenue by day and customer, newest day first, and the number of all rows."""
    day = func.date(Order.created_at)
    cents = func.sum(OrderLine.quantity * OrderLine.unit_price_cents)
    groups = (
        select(
            day,
            Order.customer,
            func.count(distinct(Order.id)),
            func.sum(OrderLine.quantity),
            cents,
        )
        .join(Order.lines)
        .group_by(day, Order.customer)
    )
    counted = select(day, Order.customer).join(Order.lines).group_by(day, Order.customer).subquery()
    total = session.scalar(select(func.count()).select_from(counted)) or 0
    page = groups.order_by(day.desc(), cents.desc(), Order.customer).limit(limit).offset(offset)
    # Sums come back as Decimal from MySQL and days as text from SQLite.
    rows = [
        RevenueRow(str(found_day), customer, orders, int(units), int(revenue_cents))
        for found_day, customer, orders, units, revenue_cents in session.execute(page)
    ]
    return rows, total
