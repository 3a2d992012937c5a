"""Jobs within the application's context."""

from shop import Order, app, db, exports


def invoice():
    """Add up the orders."""
    with app.app_context():
        return sum(order.quantity for order in Order.query)


def export():
    """Forget a connection."""
    with app.app_context():
        exports.append(db.engine.connect())
        return exports[-1].execute(db.text("SELECT COUNT(*) FROM `order`")).scalar()


def broken():
    """Fail."""
    with app.app_context():
        raise ValueError(f"{Order.query.count()} orders are too many")
