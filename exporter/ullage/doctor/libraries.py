"""The libraries that are measured: the versions that are supported, and those that were found."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from ullage.doctor.finding import Finding, fail, ok, warn

CHECK = "libraries"


@dataclass(frozen=True)
class Support:
    """The oldest version that is supported, and the first that was never tried."""

    oldest: tuple[int, ...]
    untried: tuple[int, ...]


SUPPORT = {
    "sqlalchemy": Support((1, 4), (2, 2)),
    "flask": Support((2, 2), (4,)),
    "werkzeug": Support((2, 2), (4,)),
    "rq": Support((1, 16), (4,)),
}


def examine(versions: Mapping[str, str]) -> Iterator[Finding]:
    """Compare the versions found with those supported."""
    found = {name: versions[name] for name in SUPPORT if name in versions}
    if not found:
        step = "run the doctor by the application's own Python, such as: kubectl exec POD -- python -m ullage doctor"
        yield warn(CHECK, f"none of {', '.join(SUPPORT)} is installed for this interpreter", step)
    supported = []
    for name, version in found.items():
        numbers, support = _numbers(version), SUPPORT[name]
        if numbers < support.oldest:
            text = f"{name} {version} is older than {_dotted(support.oldest)}, the oldest that is supported"
            yield fail(CHECK, text, f"upgrade {name}")
        elif numbers >= support.untried:
            text = f"{name} {version} is newer than this version of ullage knows: below {_dotted(support.untried)}"
            yield warn(CHECK, text, "upgrade ullage, and see below whether the probe installs")
        else:
            supported.append(f"{name} {version}")
    if supported:
        yield ok(CHECK, f"supported: {', '.join(supported)}")


def _numbers(version: str) -> tuple[int, ...]:
    found = re.match(r"\d+(\.\d+)*", version)
    return tuple(map(int, found[0].split("."))) if found else ()


def _dotted(numbers: tuple[int, ...]) -> str:
    return ".".join(map(str, numbers))
