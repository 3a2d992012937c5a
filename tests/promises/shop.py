"""A small shop on a real database that keeps its own account of what it did, independently of ullage.

Each worker process counts into a file of its own in ACCOUNT_DIR, before and after each request and each checkout, so
that what a killed worker was at is known too. This module is Gunicorn's configuration as well: it has its hooks.
"""

from __future__ import annotations

import mmap
import os
from pathlib import Path
from typing import Any

from flask import Flask
from sqlalchemy import create_engine, text

REQUESTS_BEGUN, REQUESTS_ENDED, CHECKOUTS_BEGUN, CHECKOUTS_DONE = range(4)
WORDS = 4

_account = memoryview(bytearray(WORDS * 8)).cast("q")


def post_fork(_server: Any, worker: Any) -> None:
    """Called by Gunicorn in a new worker."""
    global _account
    with (Path(os.environ["ACCOUNT_DIR"]) / str(os.getpid())).open("xb+") as file:
        file.write(bytes(WORDS * 8))
        file.flush()
        _account = memoryview(mmap.mmap(file.fileno(), WORDS * 8)).cast("q")


def pre_request(_worker: Any, _request: Any) -> None:
    """Called by Gunicorn before it calls the application."""
    _account[REQUESTS_BEGUN] += 1


def post_request(_worker: Any, _request: Any, _environ: Any, _response: Any) -> None:
    """Called by Gunicorn after the response was sent and closed."""
    _account[REQUESTS_ENDED] += 1


def create_app() -> Flask:
    """Build the shop; a request to /work/N checks out N connections one after another."""
    app = Flask(__name__)
    engine = create_engine(os.environ["DATABASE_URL"], pool_size=2, max_overflow=2)

    @app.get("/work/<int:checkouts>")
    def work(checkouts: int) -> str:
        for _ in range(checkouts):
            _account[CHECKOUTS_BEGUN] += 1
            with engine.connect() as connection:
                _account[CHECKOUTS_DONE] += 1
                connection.execute(text("SELECT 1"))
        return str(os.getpid())

    return app


def read_account(directory: Path) -> list[int]:
    """Add up what all workers, the killed ones included, have counted."""
    files = [memoryview(path.read_bytes()).cast("q") for path in directory.iterdir()]
    return [sum(file[word] for file in files) for word in range(WORDS)]
