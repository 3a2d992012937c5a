"""Jobs, in workers that are not patched."""

from feed import Order, engine, exports
from sqlalchemy import func, select
from sqlalchemy.orm import Session


def invoice():
    """Add up the orders."""
    with Session(engine) as session:
        return int(session.scalar(select(func.sum(Order.quantity))))


def export():
    """Forget a connection."""
    exports.append(engine.connect())
    return exports[-1].scalar(select(func.count()).select_from(Order))


def broken():
    """Fail."""
    raise ValueError(f"{invoice()} are too many")
