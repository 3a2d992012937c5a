"""Jobs, on an application that is built once a process."""

from shop import create_app
from shop.extensions import db
from shop.reports import exports, total
from sqlalchemy import text

app = create_app()


def invoice():
    """Add up the orders."""
    with app.app_context():
        return total()


def export():
    """Forget a connection."""
    with app.app_context():
        exports.append(db.engine.connect())
    return exports[-1].execute(text("SELECT COUNT(*) FROM orders")).scalar()


def broken():
    """Fail."""
    with app.app_context():
        raise ValueError(f"{total()} are too many")
