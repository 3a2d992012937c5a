"""What the HTTP server answers: /metrics and /healthz of everything, /leaks and the landing page of the sidecar."""

from __future__ import annotations

import html
import json
import logging
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from prometheus_client import CollectorRegistry, Metric, ProcessCollector, make_wsgi_app

from ullage import __version__

log = logging.getLogger(__name__)

TEXT = "text/plain; charset=utf-8"


class Collected(Protocol):
    """What makes the metrics; called from several threads at once."""

    def collect(self) -> Iterator[Metric]: ...


class Overview(Protocol):
    """What the landing page shows of the segments."""

    @property
    def segments_live(self) -> int: ...
    @property
    def segments_free(self) -> int: ...
    @property
    def unreadable(self) -> Mapping[str, int]: ...
    @property
    def probes(self) -> Mapping[str, Mapping[str, int]]: ...


class Source(Collected, Protocol):
    """What the sidecar's pages ask of its collector; called from several threads at once."""

    def leaks(self) -> list[dict[str, object]]: ...
    def overview(self) -> Overview: ...


@dataclass(frozen=True)
class Page:
    """One response."""

    status: int
    content_type: str
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


Route = Callable[[dict[str, str]], Page]


class Site:
    """Answers a path: /metrics and /healthz, and whatever else it is given; `reads` says where its metrics are from."""

    def __init__(self, collected: Collected, reads: str, routes: Mapping[str, Route]) -> None:
        registry = CollectorRegistry(support_collectors_without_names=True)
        registry.register(collected)
        ProcessCollector(registry=registry)
        self._metrics_app = make_wsgi_app(registry)
        self.reads = reads
        self._routes = {"/": routes["/"], "/metrics": self._metrics, **routes, "/healthz": self._healthz}

    def answer(self, environ: dict[str, str]) -> Page:
        """Return the page for a WSGI environment; an error inside becomes a 500 and one line on the log."""
        path = environ["PATH_INFO"]
        route = self._routes.get(path)
        if route is None:
            return Page(404, TEXT, f"404 no such page; there are {' '.join(self._routes)}\n".encode())
        try:
            return route(environ)
        except Exception as error:  # noqa: BLE001 - whatever a source provokes, the next scrape is served
            origin = traceback.extract_tb(error.__traceback__)[-1]
            log.error("%s failed: %r at %s:%s", path, error, origin.filename, origin.lineno)
            return Page(500, TEXT, b"500 failed; the log of ullage says why\n")

    def _metrics(self, environ: dict[str, str]) -> Page:
        started: list[tuple[str, list[tuple[str, str]]]] = []
        body = b"".join(self._metrics_app(environ, lambda *status: started.append(status)))
        status, given = started[0]
        headers = dict(given)
        return Page(int(status[:3]), headers.pop("Content-Type"), body, headers)

    def _healthz(self, _environ: dict[str, str]) -> Page:
        return Page(200, TEXT, b"ok\n")


class Pages(Site):
    """The sidecar's: from the collector of a segment directory."""

    def __init__(self, source: Source, directory: Path) -> None:
        super().__init__(source, str(directory), {"/": self._landing, "/leaks": self._leaks})
        self._source = source

    def _leaks(self, _environ: dict[str, str]) -> Page:
        # What a garbage segment says is no number is none: JSON has no NaN.
        leaks = [
            {key: None if value != value else value for key, value in leak.items()} for leak in self._source.leaks()
        ]
        return Page(200, "application/json", json.dumps({"leaks": leaks}).encode())

    def _landing(self, _environ: dict[str, str]) -> Page:
        overview = self._source.overview()
        segments = {"live": overview.segments_live, "free": overview.segments_free}
        probes = "".join(f"<h3>{html.escape(role)}</h3>{table(up)}" for role, up in overview.probes.items())
        return landing(
            f"Connection pools, stale connections and session leaks, read from <code>{html.escape(self.reads)}</code>.",
            {"/metrics": " for Prometheus", "/leaks": ": the latest leaks, as JSON", "/healthz": ""},
            {
                "Segments": table(segments),
                "Unreadable segments, by reason": table(overview.unreadable),
                "Processes with a probe up, by role": probes or table({}),
            },
        )


def landing(summary: str, links: Mapping[str, str], sections: Mapping[str, str]) -> Page:
    """Return a landing page; summary and sections are HTML, the rest is text."""
    body = _LANDING.format(
        version=html.escape(__version__),
        summary=summary,
        links="\n".join(
            f'<li><a href="{path}">{path}</a>{html.escape(meaning)}</li>' for path, meaning in links.items()
        ),
        sections="\n".join(f"<h2>{html.escape(title)}</h2>\n{section}" for title, section in sections.items()),
    )
    policy = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'"}
    return Page(200, "text/html; charset=utf-8", body.encode(errors="replace"), policy)


def table(rows: Mapping[str, object]) -> str:
    """Return names and what belongs to them as HTML."""
    if not rows:
        return "<p>none</p>"
    cells = (f"<tr><th>{html.escape(name)}</th><td>{html.escape(str(value))}</td></tr>" for name, value in rows.items())
    return f"<table>{''.join(cells)}</table>"


_LANDING = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>ullage</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 40rem; margin: 2rem auto; padding: 0 1rem }}
h2 {{ font-size: 1.1rem; margin: 1.5rem 0 0.3rem }}
h3 {{ font-size: 1rem; font-weight: normal; margin: 0.5rem 0 0 }}
th {{ font-weight: normal; text-align: left; min-width: 12rem }}
td {{ text-align: right }}
</style>
</head>
<body>
<h1>ullage {version}</h1>
<p>{summary}</p>
<ul>
{links}
</ul>
{sections}
</body>
</html>
"""
