"""The jobs."""

import os
import signal

from sqlalchemy import func, select

from billing.database import Order, Session, engine
from billing.extension import rq

exports = []


def total():
    """Add the orders up."""
    return int(Session.scalar(select(func.sum(Order.quantity))))


@rq.job
def invoice():
    """Leave the session to the worker, which releases it."""
    return total()


@rq.job
def export():
    """Forget a connection."""
    exports.append(engine.connect())
    return exports[-1].scalar(select(func.count()).select_from(Order))


@rq.job
def broken():
    """Fail."""
    raise ValueError(f"{total()} are too many")


@rq.job
def killed():
    """End as the kernel ends a process that takes too much memory."""
    total()
    os.kill(os.getpid(), signal.SIGKILL)
