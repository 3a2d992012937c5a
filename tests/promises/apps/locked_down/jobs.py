"""Jobs."""

from models import Order, Session, engine
from sqlalchemy import func, select

exports = []


def invoice():
    """Add up the orders."""
    with Session() as session:
        return int(session.scalar(select(func.sum(Order.quantity))))


def export():
    """Forget a connection."""
    exports.append(engine.connect())
    return exports[-1].scalar(select(func.count()).select_from(Order))


def broken():
    """Fail."""
    raise ValueError(f"{invoice()} are too many")
