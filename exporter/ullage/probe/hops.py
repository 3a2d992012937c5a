"""Addresses in X-Forwarded-For against the number of proxies that the application is set up for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from flask import Flask
from werkzeug.middleware.proxy_fix import ProxyFix

from ullage.metrics import FORWARDED_HOPS
from ullage.segment import SegmentWriter
from ullage.settings import ProbeSettings

# On the application, so that it is looked for once and goes with it.
EXPECTED = "_ullage_expected_hops"
_SEEN = ("missing", "fewer", "expected", "more")
_INNER = ("wsgi_app", "app")
_KUBELET = "kube-probe/"


def layers(app: Any) -> Iterator[Any]:
    """Yield a WSGI application and what it wraps, outermost first, as far as that can be followed.

    Reads instance dictionaries only: a property is the application's code, and this runs in its requests.
    """
    passed: list[Any] = []
    while app is not None and not any(app is layer for layer in passed):
        yield app
        passed.append(app)
        attributes = getattr(app, "__dict__", {})
        found = (attributes[name] for name in _INNER if name in attributes)
        app = next(found, getattr(app, "__self__", None))


def proxy_fix_of(app: Any) -> ProxyFix | None:
    """Return the outermost ProxyFix that the application is, or is wrapped in along its `wsgi_app`."""
    return next((layer for layer in layers(app) if isinstance(layer, ProxyFix)), None)


def expect(app: Any, x_for: int) -> None:
    """Tell the probe how many hops a ProxyFix outside of the application takes, which it cannot find by itself."""
    for layer in layers(app):
        if isinstance(layer, Flask):
            layer.__dict__[EXPECTED] = x_for


class Hops:
    """Count requests by the number of hops seen beside the number expected."""

    def bind(self, writer: SegmentWriter, settings: ProbeSettings) -> None:
        """Take the process's segment."""
        self._x_for = settings.proxy_x_for
        self._probe_paths = frozenset(settings.probe_paths)
        self._words = writer.words
        self._missing, self._fewer, self._expected, self._more = (
            writer.counter(FORWARDED_HOPS, seen) for seen in _SEEN
        )

    def count(self, app: Flask, environ: Mapping[str, Any]) -> None:
        """Count a request, unless it comes from inside the cluster and so through no proxy."""
        if environ.get("PATH_INFO") in self._probe_paths or environ.get("HTTP_USER_AGENT", "").startswith(_KUBELET):
            return
        header = environ.get("HTTP_X_FORWARDED_FOR")
        seen = 0 if not header else 1 if "," not in header else _addresses(header)
        try:
            expected = app.__dict__[EXPECTED]
        except KeyError:
            expected = self._look_up(app)
        if seen == expected:
            index = self._expected
        elif not seen:
            index = self._missing
        else:
            index = self._fewer if seen < expected else self._more
        self._words[index] += 1.0

    def _look_up(self, app: Flask) -> int:
        """The application's own ProxyFix is in force, whatever the setting: `ullage.wsgi` does not wrap it again."""
        own = proxy_fix_of(app)
        expected: int = own.x_for if own else self._x_for
        app.__dict__[EXPECTED] = expected
        return expected


def _addresses(header: str) -> int:
    return sum(1 for address in header.split(",") if address.strip())
