"""Jobs without an application: they share the sessions of store."""

from sqlalchemy import func, select
from store import Order, Session


def invoice():
    """Add up the orders."""
    try:
        return int(Session.scalar(select(func.sum(Order.quantity))))
    finally:
        Session.remove()


def export():
    """Forget a session."""
    return Session.scalar(select(func.count()).select_from(Order))


def broken():
    """Fail."""
    with Session.begin():
        raise ValueError(f"{Session.scalar(select(func.count()).select_from(Order))} orders are too many")
