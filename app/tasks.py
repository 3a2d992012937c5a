"""What RQ workers run. Nothing here imports flask: a task needs a session, not an application."""

from __future__ import annotations

from typing import Any

from app import csvfile, db, faults
from app.config import Config
from app.models import CsvImport
from app.validation import InvalidInputError


def import_orders(import_id: str, filename: str, text: str) -> list[dict[str, Any]]:
    """Import a CSV file in one transaction, all or nothing, and give the errors that it was refused for.

    A bad file is an outcome of this job, not a failure of it: failed jobs are for operators to look at.
    """
    try:
        orders = csvfile.parse(text)
    except InvalidInputError as error:
        return [one.to_json() for one in error.errors]
    with db.session_scope() as session:
        if session.get(CsvImport, import_id) is None:
            session.add(CsvImport(id=import_id, filename=filename, orders=len(orders)))
            session.add_all(orders)
    return []


def slow_query(seconds: float) -> None:
    """Keep the database busy: the fault `slow-query` as a job."""
    faults.trigger("slow-query", seconds, enabled=Config.from_environ().faults)


def leak(seconds: float) -> None:
    """Check out a connection and keep it: the fault `leak` as a job."""
    faults.trigger("leak", seconds, enabled=Config.from_environ().faults)


def hang(seconds: float) -> None:
    """Do nothing for a while: the fault `hang` as a job."""
    faults.trigger("hang", seconds, enabled=Config.from_environ().faults)


def crash(seconds: float) -> None:
    """Kill the process: the fault `crash` as a job."""
    faults.trigger("crash", seconds, enabled=Config.from_environ().faults)


# One function a fault, so that metrics by function name tell them apart.
FAULT_TASKS = {"slow-query": slow_query, "leak": leak, "hang": hang, "crash": crash}
