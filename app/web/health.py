"""`/livez` and `/readyz` for Kubernetes."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, current_app
from redis.exceptions import RedisError
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from app import db

blueprint = Blueprint("health", __name__)


@blueprint.get("/livez")
def livez() -> dict[str, str]:
    """Say that the process answers; a database that is down is no reason to restart it."""
    return {"status": "ok"}


@blueprint.get("/readyz")
def readyz() -> tuple[dict[str, Any], int]:
    """Say whether requests can be served now, or what is missing."""
    checks = {"database": _database(), "redis": _redis()}
    is_ready = set(checks.values()) == {"ok"}
    return {"status": "ready" if is_ready else "unavailable", "checks": checks}, 200 if is_ready else 503


def _database() -> str:
    try:
        db.Session.execute(text("SELECT 1"))
    except SQLAlchemyError as error:
        # Not str(error): it goes on with the statement and a link.
        return _reason(getattr(error, "orig", None) or error)
    return "ok"


def _redis() -> str:
    try:
        current_app.extensions["queue"].connection.ping()
    except RedisError as error:
        return _reason(error)
    return "ok"


def _reason(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"
