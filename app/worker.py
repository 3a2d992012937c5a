"""`python -m app.worker [options] [queues]`: an RQ worker on the configured Redis, instrumented where ullage is."""

from __future__ import annotations

import sys
from importlib.util import find_spec

from rq.cli.cli import main as rq

# Imported before the fork, or every job would import SQLAlchemy again.
import app.tasks  # noqa: F401
from app.config import Config, ConfigError


def main(arguments: list[str]) -> None:
    """Run the worker; every argument goes to `rq worker`, whose queue is `default` unless named."""
    try:
        config = Config.from_environ()
    except ConfigError as error:
        print(f"app.worker: {error}", file=sys.stderr)
        sys.exit(2)
    if find_spec("ullage") is not None:
        import ullage

        ullage.install()
    rq.main(["worker", "--url", config.redis_url, *arguments], prog_name="app.worker")


if __name__ == "__main__":
    main(sys.argv[1:])
