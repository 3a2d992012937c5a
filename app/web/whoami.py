"""`/whoami`: whom the application takes its caller for, to see that proxies are set up right; see docs/proxies.md."""

from __future__ import annotations

from flask import Blueprint, request

blueprint = Blueprint("whoami", __name__)


@blueprint.get("/whoami")
def whoami() -> dict[str, str | None]:
    """Say what the request looks like behind the proxies; only what its sender knows anyway."""
    return {
        "remote_address": request.remote_addr,
        "scheme": request.scheme,
        "host": request.host,
        "prefix": request.script_root,
        "url_root": request.url_root,
    }
