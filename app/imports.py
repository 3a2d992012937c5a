"""CSV imports as the web sees them: start one, ask how it goes."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import Any

from rq import Queue
from rq.exceptions import NoSuchJobError
from rq.job import Job
from sqlalchemy.orm import Session

from app import tasks
from app.models import CsvImport

JOB_TIMEOUT_SECONDS = 300
KEEP_RESULT_SECONDS = 86400


@dataclass(frozen=True)
class ImportStatus:
    """How far an import is: queued, running, finished, rejected (the file is bad) or failed (the job is)."""

    id: str
    status: str
    orders: int = 0
    errors: list[dict[str, Any]] = field(default_factory=list)

    @property
    def is_over(self) -> bool:
        """Tell whether the status can no longer change."""
        return self.status in {"finished", "rejected", "failed"}


def start_import(queue: Queue, filename: str, text: str) -> ImportStatus:
    """Put a file on the queue. It travels inside the job: web and worker share no disk."""
    import_id = str(uuid.uuid4())
    queue.enqueue(
        tasks.import_orders,
        kwargs={"import_id": import_id, "filename": filename, "text": text},
        job_id=import_id,
        # RQ would otherwise log the whole file as the job's description.
        description=f"import {filename!r}",
        job_timeout=JOB_TIMEOUT_SECONDS,
        result_ttl=KEEP_RESULT_SECONDS,
        failure_ttl=KEEP_RESULT_SECONDS,
    )
    return ImportStatus(import_id, "queued")


def find_import(session: Session, queue: Queue, import_id: str) -> ImportStatus | None:
    """Give the status of an import, or nothing; the database knows it after Redis has forgotten."""
    done = session.get(CsvImport, import_id)
    if done is not None:
        return ImportStatus(import_id, "finished", done.orders)
    try:
        job = Job.fetch(import_id, connection=queue.connection)
    except NoSuchJobError:
        return None
    return _status_of(job)


def _status_of(job: Job) -> ImportStatus:
    if job.is_finished:
        return ImportStatus(job.id, "rejected", errors=job.return_value() or [])
    if job.is_failed or job.is_stopped or job.is_canceled:
        return ImportStatus(job.id, "failed")
    return ImportStatus(job.id, "running" if job.is_started else "queued")
