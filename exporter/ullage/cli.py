"""The `ullage` command."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from ullage import __version__
from ullage.settings import ServeSettings, SettingError, serve_settings, settings_of, show

log = logging.getLogger("ullage")

EXIT_USAGE = 2

_EXAMPLES = """\
examples:
  ullage serve --dir /run/ullage --port 9145
  curl http://localhost:9145/metrics
  ullage dump /run/ullage
  ullage worker --preload shop.web:create_app high default
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
    for setting in settings_of(ServeSettings).values():
        if setting.flag:
            takes = f"{setting.kind.allowed}; {setting.name} in the environment; default {show(setting.default)}"
            word = setting.flag.rpartition("-")[2].upper()
            serve.add_argument(setting.flag, dest=setting.name, metavar=word, help=f"{setting.meaning} ({takes})")
    commands.add_parser("worker", help="run an RQ worker with the application preloaded and measured", add_help=False)
    dump = commands.add_parser(
        "dump",
        help="print segments for people",
        description="Print what is in segment files.",
        epilog="example: ullage dump /run/ullage",
    )
    dump.add_argument("paths", nargs="+", type=Path, metavar="DIR-or-FILE", help="a segment, or a directory of them")
    dump.set_defaults(run=_dump)
    return parser


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


def _dump(chosen: argparse.Namespace) -> int:
    from ullage.dump import run

    return run(chosen.paths)


def _serve(chosen: argparse.Namespace) -> int:
    names = [setting.name for setting in settings_of(ServeSettings).values()]
    flags = {name: getattr(chosen, name) for name in names if getattr(chosen, name) is not None}
    settings = serve_settings(os.environ, flags)
    logging.basicConfig(
        format="%(asctime)s %(levelname)s %(message)s", level=settings.log_level.upper(), stream=sys.stderr
    )
    try:
        return _run_server(settings)
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in ("prometheus_client", "yaml", "bcrypt"):
            raise
        raise _UnusableError(f"the Python package {package} is missing; run: pip install 'ullage[exporter]'") from None


def _run_server(settings: ServeSettings) -> int:
    from ullage.collector import Collector
    from ullage.server import Access, ListenError, OpenAccess, Pages, Server, run_until_signal

    access: Access = OpenAccess()
    if settings.web_config_file:
        from ullage.webconfig import WebConfig, WebConfigError

        try:
            access = WebConfig(settings.web_config_file)
        except WebConfigError as error:
            raise _UnusableError(str(error)) from None
    pages = Pages(Collector(settings.directory), settings.directory)
    try:
        server = Server(settings.listen_address, settings.port, pages, access)
    except ListenError as error:
        raise _UnusableError(str(error)) from None
    if not settings.directory.is_dir():
        log.warning("no segment directory at %s yet; it is looked for at each scrape", settings.directory)
    run_until_signal(server)
    return 0
