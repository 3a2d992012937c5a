"""Turns every error into problem+json (RFC 9457), or into a page where a person is looking."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from flask import Flask, Response, current_app, json, render_template, request
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge

from app.faults import FaultsDisabledError, UnknownFaultError
from app.validation import InvalidInputError


def init_app(app: Flask) -> None:
    """Register the handlers; anything without one becomes a 500 through Flask's InternalServerError."""
    app.register_error_handler(InvalidInputError, _invalid_input)
    app.register_error_handler(FaultsDisabledError, _faults_disabled)
    app.register_error_handler(UnknownFaultError, _unknown_fault)
    app.register_error_handler(PoolTimeoutError, _pool_exhausted)
    app.register_error_handler(OperationalError, _database_unavailable)
    app.register_error_handler(InterfaceError, _database_unavailable)
    app.register_error_handler(RedisConnectionError, _queue_unavailable)
    app.register_error_handler(RedisTimeoutError, _queue_unavailable)
    app.register_error_handler(HTTPException, _http_error)


def problem(status: int, detail: str, **members: Any) -> Response:
    """Give an error response: JSON for programs, a page below /pages/ and at /."""
    title = HTTPStatus(status).phrase
    if request.path == "/" or request.path.startswith("/pages/"):
        page = render_template("error.html", title=title, status=status, detail=detail)
        return Response(page, status, mimetype="text/html")
    body = {"type": "about:blank", "title": title, "status": status, "detail": detail, **members}
    return Response(json.dumps(body), status, mimetype="application/problem+json")


def _invalid_input(error: InvalidInputError) -> Response:
    return problem(422, str(error), errors=[one.to_json() for one in error.errors])


def _faults_disabled(error: FaultsDisabledError) -> Response:
    return problem(403, str(error))


def _unknown_fault(error: UnknownFaultError) -> Response:
    return problem(404, str(error))


def _pool_exhausted(error: PoolTimeoutError) -> Response:
    return _unavailable("no database connection came free in time; try again", error)


def _database_unavailable(error: OperationalError | InterfaceError) -> Response:
    return _unavailable("the database did not answer; try again, /readyz says more", error)


def _queue_unavailable(error: Exception) -> Response:
    return _unavailable("the job queue did not answer; try again, /readyz says more", error)


def _unavailable(detail: str, error: Exception) -> Response:
    # The cause may name hosts and users: it goes to the log, not to the client.
    current_app.logger.error("%s %s: %s", request.method, request.path, error)
    response = problem(503, detail)
    response.headers["Retry-After"] = "1"
    return response


def _http_error(error: HTTPException) -> Response:
    detail = error.description or ""
    if isinstance(error, RequestEntityTooLarge):
        detail = f"the request is larger than {current_app.config['MAX_CONTENT_LENGTH']} bytes; send less at once"
    response = problem(error.code or 500, detail)
    for name, value in error.get_headers():
        if name not in {"Content-Type", "Content-Length"}:
            response.headers[name] = value
    return response
