"""The pages for people: the front page with its forms, and what they lead to. No scripts."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from flask import Blueprint, current_app, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from app import db
from app.csvfile import COLUMNS
from app.faults import FAULTS
from app.orders import list_orders, parse_order
from app.reports import revenue
from app.validation import FieldError, InvalidInputError
from app.web.imports import get_import, start_uploaded
from app.web.orders import get_order
from app.web.pagination import Page

blueprint = Blueprint("pages", __name__)

FORM_LINES = 3
LINE_FIELDS = ("sku", "quantity", "unit_price")
NEWEST = 5


@blueprint.get("/")
def front() -> str:
    """Show the forms and the newest orders."""
    return _front_page()


@blueprint.get("/pages/orders")
def orders() -> str:
    """List orders."""
    page = Page.from_request()
    found, total = list_orders(db.Session(), page.limit, page.offset)
    return render_template("orders.html", orders=found, **_links(page, "pages.orders", total))


@blueprint.get("/pages/orders/<int(max=2147483647):order_id>")
def order(order_id: int) -> str:
    """Show one order."""
    return render_template("order.html", order=get_order(order_id))


@blueprint.post("/pages/orders")
def create_order() -> Response | tuple[str, int]:
    """Store the order of the form and show it, or show the form again with what is wrong."""
    lines = _form_lines()
    filled = [line for line in lines if any(line.values())]
    try:
        created = parse_order({"customer": request.form.get("customer"), "lines": filled})
    except InvalidInputError as error:
        return _front_page(order_errors=error.errors, lines=lines), 422
    db.Session.add(created)
    db.Session.commit()
    return redirect(url_for("pages.order", order_id=created.id), 303)


@blueprint.get("/pages/reports/revenue")
def revenue_report() -> str:
    """Show revenue by day and customer."""
    page = Page.from_request()
    rows, total = revenue(db.Session(), page.limit, page.offset)
    return render_template("revenue.html", rows=rows, **_links(page, "pages.revenue_report", total))


@blueprint.post("/pages/imports")
def create_import() -> Response | tuple[str, int]:
    """Queue the file of the form and show how it goes."""
    try:
        status = start_uploaded()
    except InvalidInputError as error:
        return _front_page(import_errors=error.errors), 422
    return redirect(url_for("pages.show_import", import_id=status.id), 303)


@blueprint.get("/pages/imports/<uuid:import_id>")
def show_import(import_id: UUID) -> str:
    """Show how an import goes; the page asks again by itself until it is over."""
    return render_template("import.html", status=get_import(import_id))


def _front_page(
    order_errors: tuple[FieldError, ...] = (),
    import_errors: tuple[FieldError, ...] = (),
    lines: list[dict[str, str]] | None = None,
) -> str:
    newest, total = list_orders(db.Session(), NEWEST, 0)
    return render_template(
        "front.html",
        newest=newest,
        total=total,
        columns=COLUMNS,
        order_errors=order_errors,
        import_errors=import_errors,
        customer=request.form.get("customer", ""),
        lines=lines or [dict.fromkeys(LINE_FIELDS, "")] * FORM_LINES,
        faults=list(FAULTS) if current_app.extensions["config"].faults else [],
    )


def _form_lines() -> list[dict[str, str]]:
    columns = [request.form.getlist(name) for name in LINE_FIELDS]
    rows = zip(*columns, strict=False)
    return [dict(zip(LINE_FIELDS, (cell.strip() for cell in row), strict=True)) for row in rows]


def _links(page: Page, endpoint: str, total: int) -> dict[str, Any]:
    return {
        "page": page,
        "total": total,
        "previous_url": page.previous_url(endpoint),
        "next_url": page.next_url(endpoint, total),
    }
