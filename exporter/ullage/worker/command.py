"""RQ's own `worker` command, of whatever RQ is installed, with ullage's options beside its own."""

from __future__ import annotations

import os
from typing import Any

import click
import rq
from rq.cli.cli import main as rq_command
from rq.worker import BaseWorker

import ullage
from ullage.setting import Setting, settings_of, show
from ullage.settings import WorkerSettings, probe_settings, worker_settings
from ullage.worker.heartbeat import CHECK_OPTION, MAX_AGE_OPTION, MAX_AGE_SECONDS, Heartbeat, HeartbeatError
from ullage.worker.startup import prepare_before_work

# A job whose worker was killed counts as abandoned 60 s after what job_monitoring_interval promised, and is found by
# the next maintenance, for which an idle worker wakes up 15 s before its ttl. RQ's own: 420, 600 and 30.
RQ_DEFAULTS = {"worker_ttl": 30, "maintenance_interval": 30, "job_monitoring_interval": 10}

_EXAMPLES = """\
\b
examples:
  ullage worker --preload shop.web:create_app high default
  ullage worker --heartbeat-file /dev/shm/worker --url redis://redis:6379/0
  ullage worker --check-heartbeat /dev/shm/worker
"""


class WorkerCommand(click.Command):
    """A command that shows ullage's options and RQ's apart."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write both lists."""
        own = {option.name for option in _own_options()}
        rows: dict[str, list[tuple[str, str]]] = {"ullage's options": [], f"RQ {rq.__version__}'s options": []}
        ours, theirs = rows.values()
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx) if isinstance(parameter, click.Option) else None
            if record:
                (ours if parameter.name in own else theirs).append(record)
        for title, records in rows.items():
            with formatter.section(title):
                formatter.write_dl(records)


def build_command() -> click.Command:
    """Return the command `ullage worker`."""
    theirs = rq_command.commands["worker"]
    # By name, since RQ 2.3 and before declare --serializer twice, about which click warns at every start.
    parameters = {str(parameter.name): parameter for parameter in theirs.params}
    defaults = {name: value for name, value in RQ_DEFAULTS.items() if name in parameters}

    def start(**values: Any) -> Any:
        settings = _take_settings(values)
        ullage.install()
        prepare_before_work(BaseWorker, settings, _start_heartbeat(settings))
        assert theirs.callback is not None
        return theirs.callback(**values)

    shown = "\n".join(f"--{name.replace('_', '-')} {value}" for name, value in defaults.items())
    return WorkerCommand(
        "worker",
        params=[*_own_options(), *parameters.values()],
        callback=start,
        help="Run an RQ worker with the application preloaded and measured.\n\n"
        f"Every option of `rq worker` works. Unless given otherwise:\n\n\b\n{shown}",
        epilog=_EXAMPLES,
        context_settings={"default_map": defaults},
    )


def _own_options() -> list[click.Option]:
    settings = settings_of(WorkerSettings)
    return [
        click.Option(["--preload"], multiple=True, metavar="MODULE[:CALLABLE]", help=_help(settings["preload"])),
        click.Option(["--no-preload"], is_flag=True, help="Preload nothing."),
        click.Option(["--heartbeat-file"], metavar="PATH", help=_help(settings["heartbeat_file"])),
        click.Option([CHECK_OPTION], metavar="PATH", help="Run no worker: exit with 0 if that file is young, else 1."),
        click.Option([MAX_AGE_OPTION], metavar="SECONDS", help=f"How young that is; default {MAX_AGE_SECONDS:g}."),
    ]


def _help(setting: Setting) -> str:
    return f"{setting.meaning.replace('`', '')} ({setting.name} in the environment; default {show(setting.default)})"


def _take_settings(values: dict[str, Any]) -> WorkerSettings:
    """Take ullage's options out of `values`; what is left is RQ's."""
    own = {str(option.name): values.pop(str(option.name)) for option in _own_options()}
    if own["max_age"] is not None:
        raise click.UsageError(f"{MAX_AGE_OPTION} belongs to {CHECK_OPTION} PATH")
    if own["preload"] and own["no_preload"]:
        raise click.UsageError("--preload and --no-preload exclude each other")
    preload = "none" if own["no_preload"] else ",".join(own["preload"]) or None
    flags = {"ULLAGE_PRELOAD": preload, "ULLAGE_HEARTBEAT_FILE": own["heartbeat_file"]}
    return worker_settings(os.environ, {name: value for name, value in flags.items() if value is not None})


def _start_heartbeat(settings: WorkerSettings) -> Heartbeat | None:
    if settings.heartbeat_file is None:
        return None
    segments = probe_settings(os.environ, lambda _: None).directory
    if settings.heartbeat_file.parent == segments:
        raise click.UsageError(
            f"{settings.heartbeat_file} is in the segment directory, where the sidecar reports any other file; "
            "choose another directory, such as /dev/shm"
        )
    heartbeat = Heartbeat(settings.heartbeat_file)
    try:
        heartbeat.start()
    except HeartbeatError as error:
        raise click.UsageError(str(error)) from None
    return heartbeat
