"""Who else may observe the application: installed, loaded when Python starts, or wrapped around the libraries."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ullage.doctor.finding import Finding, ok

CHECK = "others"


@dataclass(frozen=True)
class Observer:
    """A product: its distributions, the first that is found naming the version, and its import package."""

    name: str
    distributions: tuple[str, ...]
    package: str


OBSERVERS = (
    Observer(
        "OpenTelemetry", ("opentelemetry-instrumentation", "opentelemetry-sdk", "opentelemetry-api"), "opentelemetry"
    ),
    Observer("Datadog", ("ddtrace",), "ddtrace"),
    Observer("Sentry", ("sentry-sdk",), "sentry_sdk"),
    Observer("New Relic", ("newrelic",), "newrelic"),
)
PACKAGES = [observer.package for observer in OBSERVERS]
DISTRIBUTIONS = [name for observer in OBSERVERS for name in observer.distributions]


def examine(found: Mapping[str, Any]) -> Iterator[Finding]:
    """Say who is there beside ullage; its wraps take any order."""
    wraps: dict[str, list[str]] = {}
    for target, packages in found["wraps"].items():
        for package in packages:
            wraps.setdefault(package, []).append(target)
    loaded = set(found["loaded"])
    lines = [
        line for observer in OBSERVERS if (line := _line(observer, found, loaded, wraps.pop(observer.package, [])))
    ]
    lines += [f"{package} wraps {', '.join(targets)}" for package, targets in wraps.items()]
    for line in lines or ["nobody else wraps what ullage wraps"]:
        yield ok(CHECK, line)


def _line(observer: Observer, found: Mapping[str, Any], loaded: set[str], targets: list[str]) -> str:
    versions = [found["observers"][name] for name in observer.distributions if name in found["observers"]]
    if not versions and observer.package not in loaded and not targets:
        return ""
    name = f"{observer.name} {versions[0]}" if versions else observer.name
    if targets:
        return f"{name} wraps {', '.join(targets)}"
    if observer.package in loaded:
        return f"{name} is loaded when Python starts, and wraps nothing that ullage wraps so far"
    return f"{name} is installed, and not loaded until the application imports it"
