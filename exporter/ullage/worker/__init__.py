"""`ullage worker`: RQ's own worker command, with the application preloaded and measured, and a heartbeat file."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["run"]


def run(arguments: Sequence[str]) -> int:
    """Run `ullage worker`, or its check of a heartbeat file, and return the exit status."""
    # A liveness probe asks every few seconds: it must not import RQ, which takes a quarter of a second.
    from ullage.worker import heartbeat

    if heartbeat.is_check(arguments):
        return heartbeat.check(arguments)
    from ullage.worker.stop import exit_on_sigterm

    exit_on_sigterm()
    from ullage.worker.command import build_command

    return build_command().main(list(arguments), prog_name="ullage worker")
