"""The `ullage` command."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ullage import __version__
from ullage.setting import SettingError, Settings, settings_of, show
from ullage.settings import ListenSettings, ObserveSettings, ServeSettings, observe_settings, serve_settings

if TYPE_CHECKING:
    from ullage.pages import Site
    from ullage.server import Server

log = logging.getLogger("ullage")

EXIT_USAGE = 2

_EXAMPLES = """\
examples:
  ullage serve --dir /run/ullage --port 9145
  curl http://localhost:9145/metrics
  ullage dump /run/ullage
  ullage worker --preload shop.web:create_app high default
  ullage observe --queues high,default
"""
_OBSERVE = """\
Serve /metrics, /healthz and a landing page on what only a view of the whole release gives: RQ's queues, workers and
schedulers from Redis, and the connection budget. With --pod-selector, and a service account that may get and list pods
and create and patch events, leaks become Kubernetes Events on the pods that leak.

From the environment alone: ULLAGE_REDIS_URL (else RQ_REDIS_URL, else REDIS_URL), RQ_KEY_PREFIX,
ULLAGE_CONNECTION_BUDGET, ULLAGE_CONNECTION_LIMIT, ULLAGE_POD_NAMESPACE, ULLAGE_METRICS_PORT, ULLAGE_EVENTS,
ULLAGE_EVENTS_INTERVAL_SECONDS and ULLAGE_RUNBOOK_URL.
"""
_OBSERVE_EXAMPLE = """\
examples:
  ULLAGE_REDIS_URL=redis://:password@redis:6379/0 ullage observe
  ULLAGE_CONNECTION_BUDGET='{"web": 30, "worker-default": 8}' ULLAGE_CONNECTION_LIMIT=100 ullage observe
  ullage observe --queues high,default --pod-selector app.kubernetes.io/instance=shop
"""
_DOCTOR = """\
Say what is measured in this container and what not and why, one line a finding: ok, warn or fail, and the next step.

Looks at the Python that runs the application, how it was started and what it imports (in a new interpreter that is
started in the same way, without the application), the settings, the segment directory with its locks and segments, and
the Python processes here. Nothing is changed and nothing left behind. Needs the standard library alone.

exit status: 0 when nothing is wrong, 1 when something is (a line says fail), 2 for a wrong command line
"""
_DOCTOR_EXAMPLE = """\
examples:
  kubectl exec POD -- ullage doctor
  kubectl exec POD -- env PYTHONPATH=/opt/ullage python -m ullage doctor    # injected: by the application's Python
  kubectl exec POD -c ullage -- ullage doctor                               # what the sidecar can read
  ullage doctor --dir /dev/shm/shop --json
"""


class _UnusableError(Exception):
    """The command cannot run as it is set up; the text is for the person who set it up."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    if given[:1] == ["worker"]:
        # Not argparse's: most of its options are RQ's.
        return _run("worker", lambda: _worker(given[1:]))
    parser = _build_parser()
    chosen = parser.parse_args(given)
    if chosen.command is None:
        parser.print_help(sys.stderr)
        return EXIT_USAGE
    return _run(chosen.command, lambda: int(chosen.run(chosen)))


def _run(command: str, action: Callable[[], int]) -> int:
    try:
        return action()
    except (SettingError, _UnusableError) as error:
        print(f"ullage {command}: {error}", file=sys.stderr)
        return EXIT_USAGE
    except BrokenPipeError:
        # The reader of a pipe, such as head, has seen enough; the flush at exit must not fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="ullage",
        description="Connection pools, stale connections and session leaks, on Prometheus.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"ullage {__version__}")
    commands = parser.add_subparsers(title="commands", dest="command", metavar="COMMAND")
    serve = commands.add_parser(
        "serve",
        help="serve /metrics from the segments that the application writes",
        description="Serve /metrics, /leaks, /healthz and a landing page from a segment directory.",
        epilog="example: ullage serve --dir /run/ullage --port 9145",
    )
    serve.set_defaults(run=_serve)
    _add_flags(serve, ServeSettings)
    observe = commands.add_parser(
        "observe",
        help="serve queues and the connection budget, and write Events on leaking pods; one a release",
        description=_OBSERVE,
        epilog=_OBSERVE_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    observe.set_defaults(run=_observe)
    _add_flags(observe, ObserveSettings)
    commands.add_parser("worker", help="run an RQ worker with the application preloaded and measured", add_help=False)
    dump = commands.add_parser(
        "dump",
        help="print segments for people",
        description="Print what is in segment files.",
        epilog="example: ullage dump /run/ullage",
    )
    dump.add_argument("paths", nargs="+", type=Path, metavar="DIR-or-FILE", help="a segment, or a directory of them")
    dump.set_defaults(run=_dump)
    doctor = commands.add_parser(
        "doctor",
        help="say what is measured here and what not and why; changes nothing",
        description=_DOCTOR,
        epilog=_DOCTOR_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    doctor.add_argument(
        "--dir", type=Path, metavar="DIR", help="the segment directory (default ULLAGE_DIR, else /run/ullage)"
    )
    doctor.add_argument("--json", action="store_true", help="print everything that was found, as JSON")
    doctor.set_defaults(run=_doctor)
    inject = commands.add_parser(
        "inject-copy",
        help="copy what measures an application that is not changed into a volume, as an init container does",
        description="Copy the probes, a sitecustomize that PYTHONPATH leads to, and a launcher into a directory.",
        epilog="example: ullage inject-copy /opt/ullage",
    )
    inject.add_argument("directory", type=Path, metavar="DIR", help="the volume; an earlier copy in it is replaced")
    inject.set_defaults(run=_inject_copy)
    return parser


def _add_flags(parser: argparse.ArgumentParser, kind: type[Settings]) -> None:
    for setting in settings_of(kind).values():
        if setting.flag:
            takes = f"{setting.kind.allowed}; {setting.name} in the environment; default {show(setting.default)}"
            word = setting.flag.rpartition("-")[2].upper()
            parser.add_argument(setting.flag, dest=setting.name, metavar=word, help=f"{setting.meaning} ({takes})")


def _flags(chosen: argparse.Namespace, kind: type[Settings]) -> dict[str, str]:
    names = [setting.name for setting in settings_of(kind).values() if setting.flag]
    return {name: getattr(chosen, name) for name in names if getattr(chosen, name) is not None}


def _worker(arguments: Sequence[str]) -> int:
    from ullage.worker import run

    try:
        return run(arguments)
    except ModuleNotFoundError as error:
        if error.name not in ("rq", "redis", "click"):
            raise
        raise _UnusableError(
            f"the Python package {error.name} is missing; install ullage into the application's environment, "
            "where RQ is, or run: pip install rq"
        ) from None


def _inject_copy(chosen: argparse.Namespace) -> int:
    from ullage.inject.copying import CopyError, copy

    try:
        print(copy(chosen.directory.absolute()))
    except CopyError as error:
        raise _UnusableError(str(error)) from None
    return 0


def _dump(chosen: argparse.Namespace) -> int:
    from ullage.dump import run

    return run(chosen.paths)


def _doctor(chosen: argparse.Namespace) -> int:
    # It leaves nothing behind, so no bytecode either.
    sys.dont_write_bytecode = True
    from ullage.doctor import run

    return run(os.environ, chosen.dir and chosen.dir.absolute(), as_json=chosen.json)


def _serve(chosen: argparse.Namespace) -> int:
    settings = serve_settings(os.environ, _flags(chosen, ServeSettings))
    _log_to_stderr(settings.log_level)
    with _naming_the_extra("exporter"):
        return _run_sidecar(settings)


def _observe(chosen: argparse.Namespace) -> int:
    settings = observe_settings(os.environ, _flags(chosen, ObserveSettings))
    _log_to_stderr(settings.log_level)
    with _naming_the_extra("observer"):
        return _run_observer(settings)


def _log_to_stderr(level: str) -> None:
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=level.upper(), stream=sys.stderr)


@contextmanager
def _naming_the_extra(extra: str) -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in ("prometheus_client", "yaml", "bcrypt", "redis", "kubernetes"):
            raise
        raise _UnusableError(f"the Python package {package} is missing; run: pip install 'ullage[{extra}]'") from None


def _run_sidecar(settings: ServeSettings) -> int:
    from ullage.collector import Collector
    from ullage.pages import Pages
    from ullage.server import run_until_signal

    server = _listen(settings, Pages(Collector(settings.directory), settings.directory))
    if not settings.directory.is_dir():
        log.warning("no segment directory at %s yet; it is looked for at each scrape", settings.directory)
    run_until_signal(server)
    return 0


def _run_observer(settings: ObserveSettings) -> int:
    from ullage.observer.command import build
    from ullage.server import run_until_signal

    pages, start = build(settings)
    run_until_signal(_listen(settings, pages), start)
    return 0


def _listen(settings: ListenSettings, pages: Site) -> Server:
    from ullage.server import Access, ListenError, OpenAccess, Server

    access: Access = OpenAccess()
    if settings.web_config_file:
        from ullage.webconfig import WebConfig, WebConfigError

        try:
            access = WebConfig(settings.web_config_file)
        except WebConfigError as error:
            raise _UnusableError(str(error)) from None
    try:
        return Server(settings.listen_address, settings.port, pages, access)
    except ListenError as error:
        raise _UnusableError(str(error)) from None
