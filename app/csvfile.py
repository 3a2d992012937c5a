"""Turns an uploaded CSV file into orders, or into errors that name the line.

Columns: order,customer,sku,quantity,unit_price. Rows with the same `order` become one order with several lines.
"""

from __future__ import annotations

import csv
import io

from app.models import Order, OrderLine
from app.orders import MAX_CUSTOMER, MAX_LINES
from app.validation import Check, FieldError, InvalidInputError

COLUMNS = ("order", "customer", "sku", "quantity", "unit_price")
MAX_ERRORS = 20


def decode(content: bytes) -> str:
    """Decode a file as UTF-8, with or without the byte order mark that spreadsheets write."""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        bad = repr(content[error.start : error.end])
        raise InvalidInputError(FieldError("file", bad, "text in UTF-8", line)) from None


def parse(text: str) -> list[Order]:
    """Give the orders of a file, unsaved; one bad line refuses the whole file."""
    # newline="": the csv module itself must see the line ends inside quoted fields.
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    check = Check(line=1)
    orders: dict[str, Order] = {}
    try:
        _check_header(check, next(reader, []))
        for row in filter(None, reader):
            check.line = reader.line_num
            _add_row(check, orders, row)
            if len(check.errors) >= MAX_ERRORS:
                break
    except csv.Error as error:
        check.line = reader.line_num
        check.refuse("file", str(error), "well-formed CSV")
    if not orders and not check.errors:
        check.refuse("file", None, "at least one row below the header")
    check.finish()
    return list(orders.values())


def _check_header(check: Check, header: list[str]) -> None:
    if tuple(name.strip() for name in header) != COLUMNS:
        check.refuse("header", ",".join(header), f"exactly the columns {','.join(COLUMNS)}")
        check.stop()


def _add_row(check: Check, orders: dict[str, Order], row: list[str]) -> None:
    if len(row) != len(COLUMNS):
        check.refuse("row", ",".join(row), f"{len(COLUMNS)} values, one for each of {','.join(COLUMNS)}")
        return
    cells = dict(zip(COLUMNS, row, strict=True))
    reference = check.text("order", cells["order"], 64)
    customer = check.text("customer", cells["customer"], MAX_CUSTOMER)
    order = orders.setdefault(reference, Order(customer=customer))
    if order.customer != customer:
        check.refuse("customer", customer, f"the customer that order {reference!r} began with: {order.customer!r}")
    if len(order.lines) == MAX_LINES:
        check.refuse("order", reference, f"at most {MAX_LINES} rows for one order")
    order.lines.append(
        OrderLine(
            sku=check.sku("sku", cells["sku"]),
            quantity=check.quantity("quantity", cells["quantity"]),
            unit_price_cents=check.cents("unit_price", cells["unit_price"]),
        )
    )
