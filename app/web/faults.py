"""`/faults`: trigger a fault in this web process, or as a job in a worker."""

from __future__ import annotations

import os
from typing import Any

from flask import Blueprint, current_app, request

from app import faults
from app.tasks import FAULT_TASKS

blueprint = Blueprint("faults", __name__, url_prefix="/faults")

# Longer than any fault, so that RQ's own timeout does not end it.
JOB_TIMEOUT_SECONDS = faults.MAX_SECONDS + 30


@blueprint.post("/<name>")
def trigger(name: str) -> dict[str, Any]:
    """Run a fault while this request waits."""
    seconds = _seconds_for(name)
    faults.trigger(name, seconds, enabled=_enabled())
    return {"fault": name, "pid": os.getpid(), "leaked_connections": faults.leaked_connections()}


@blueprint.post("/jobs/<name>")
def trigger_job(name: str) -> tuple[dict[str, Any], int]:
    """Queue a fault as a job."""
    seconds = _seconds_for(name)
    job = current_app.extensions["queue"].enqueue(
        FAULT_TASKS[name], kwargs={"seconds": seconds}, job_timeout=JOB_TIMEOUT_SECONDS
    )
    return {"fault": name, "job_id": job.id}, 202


@blueprint.delete("/leak")
def release() -> dict[str, Any]:
    """Release what `leak` leaked in the process that answers; other processes keep theirs."""
    faults.require("leak", enabled=_enabled())
    return {"fault": "leak", "pid": os.getpid(), "released_connections": faults.release_leaked()}


def _seconds_for(name: str) -> float:
    faults.require(name, enabled=_enabled())
    return faults.parse_seconds(request.values.get("seconds"))


def _enabled() -> bool:
    enabled: bool = current_app.extensions["config"].faults
    return enabled
