"""What protects the server from large bodies, and a person's browser from other sites, scripts and framing."""

from __future__ import annotations

from flask import Flask, Response, abort, current_app, request

POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self' data:; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


def init_app(app: Flask) -> None:
    """Check each request's size and origin, and add the headers to each response."""
    app.before_request(_refuse_large_bodies)
    app.before_request(_refuse_other_sites)
    app.after_request(_add_headers)


def _refuse_large_bodies() -> None:
    # Werkzeug does so itself, but before 2.3 for forms only.
    if (request.content_length or 0) > current_app.config["MAX_CONTENT_LENGTH"]:
        abort(413)


def _refuse_other_sites() -> None:
    # Browsers send Sec-Fetch-Site and pages cannot forge it; curl and services send none and carry no one's rights.
    site = request.headers.get("Sec-Fetch-Site", "none")
    if request.method not in SAFE_METHODS and site not in {"same-origin", "none"}:
        abort(403, f"a page of another site sent this request (Sec-Fetch-Site: {site}); use this site's own forms")


def _add_headers(response: Response) -> Response:
    response.headers["Content-Security-Policy"] = POLICY
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Referrer-Policy"] = "same-origin"
    return response
