"""`/reports`: the revenue report, slow on request where faults are enabled."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, current_app, request

from app import db, faults
from app.orders import money
from app.reports import revenue
from app.validation import Check
from app.web.pagination import Page

blueprint = Blueprint("reports", __name__)


@blueprint.get("/reports/revenue")
def show_revenue() -> dict[str, Any]:
    """Show revenue by day and customer; `?fault=slow-query&seconds=2` makes the database slow."""
    page = Page.from_request()
    if "fault" in request.args:
        _slow_down(request.args["fault"])
    rows, total = revenue(db.Session(), page.limit, page.offset)
    items = [
        {
            "day": row.day,
            "customer": row.customer,
            "orders": row.orders,
            "units": row.units,
            "revenue": money(row.revenue_cents),
        }
        for row in rows
    ]
    return page.to_json("reports.show_revenue", items, total)


def _slow_down(fault: str) -> None:
    enabled = current_app.extensions["config"].faults
    faults.require(fault, enabled=enabled)
    # A GET must not crash or leak: another site's page could make a browser send it.
    if fault != "slow-query":
        check = Check()
        check.refuse("fault", fault, f"slow-query here; POST /faults/{fault} for this one")
        check.stop()
    faults.trigger(fault, faults.parse_seconds(request.args.get("seconds")), enabled=enabled)
