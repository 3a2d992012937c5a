"""`/imports`: send a CSV file, then ask how its job goes."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from flask import Blueprint, abort, current_app, request, url_for

from app import csvfile, db
from app.imports import ImportStatus, find_import, start_import
from app.validation import Check

blueprint = Blueprint("imports", __name__)

MAX_FILENAME = 255


@blueprint.post("/imports")
def create() -> tuple[dict[str, Any], int, dict[str, str]]:
    """Queue a CSV file, sent as the form field `file` or as a `text/csv` body."""
    status = start_uploaded()
    return status_to_json(status), 202, {"Location": url_for("imports.show", import_id=status.id)}


@blueprint.get("/imports/<uuid:import_id>")
def show(import_id: UUID) -> dict[str, Any]:
    """Show how an import goes: queued, running, finished, rejected or failed."""
    return status_to_json(get_import(import_id))


def start_uploaded() -> ImportStatus:
    """Queue the file of the current request."""
    name, content = _uploaded_file()
    if not content.strip():
        check = Check()
        check.refuse("file", None, f"a CSV file with the columns {','.join(csvfile.COLUMNS)}")
        check.stop()
    return start_import(current_app.extensions["queue"], name[-MAX_FILENAME:], csvfile.decode(content))


def get_import(import_id: UUID) -> ImportStatus:
    """Give the status of an import, or answer 404."""
    status = find_import(db.Session(), current_app.extensions["queue"], str(import_id))
    if status is None:
        abort(404, f"there is no import {import_id}; results of refused and failed files are kept for a day")
    return status


def status_to_json(status: ImportStatus) -> dict[str, Any]:
    """Give an import as the API shows it."""
    return {
        "id": status.id,
        "status": status.status,
        "orders": status.orders,
        "errors": status.errors,
        "url": url_for("imports.show", import_id=status.id),
    }


def _uploaded_file() -> tuple[str, bytes]:
    if request.mimetype == "text/csv":
        return "body.csv", request.get_data()
    uploaded = request.files.get("file")
    return (uploaded.filename or "upload.csv", uploaded.read()) if uploaded else ("", b"")
