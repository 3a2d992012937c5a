"""The settings in force, where each comes from, and what is used in place of those that were refused."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from ullage.doctor.finding import Finding, fail, ok, warn
from ullage.setting import SettingError, Settings, settings_of, show
from ullage.settings import ObserveSettings, ProbeSettings, ServeSettings, WorkerSettings

CHECK = "settings"
_KINDS: tuple[type[Settings], ...] = (ProbeSettings, WorkerSettings, ServeSettings, ObserveSettings)
# Kubernetes sets these for each Service whose name begins with "ullage".
_OF_SERVICES = re.compile(r"ULLAGE(_\w+)?_(SERVICE_(HOST|PORT(_\w+)?)|PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)")
_LINKS = ("tcp://", "udp://", "sctp://")


@dataclass(frozen=True)
class InForce:
    """One setting: the value that is used, where that comes from, and what was refused."""

    name: str
    value: str
    source: str
    refused: str = ""


def in_force(environ: Mapping[str, str], kind: type[Settings] = ProbeSettings) -> Iterator[InForce]:
    """Yield the settings of a kind, as they are read; a bad one does not keep the doctor from the others."""
    for setting in settings_of(kind).values():
        text = environ.get(setting.name, "").strip()
        is_given = bool(text) and not text.startswith(_LINKS)
        try:
            value = show(setting.read(environ, {}))
        except SettingError as error:
            yield InForce(setting.name, show(setting.default), "default", str(error))
            continue
        yield InForce(setting.name, value, "environment" if is_given else "default")


def examine(environ: Mapping[str, str], kind: type[Settings] = ProbeSettings) -> list[Finding]:
    """Say what was set, what was refused, and what is no setting."""
    settings = list(in_force(environ, kind))
    given = [f"{found.name}={found.value}" for found in settings if found.source == "environment"]
    defaults = sum(found.source == "default" for found in settings)
    text = f"from the environment: {', '.join(given) or 'none'}; by default: the other {defaults}"
    findings = [ok(CHECK, text)]
    for found in settings:
        if found.refused:
            findings.append(fail(CHECK, f"{found.refused}; in use is the default, {found.value}", "correct it"))
        elif found.name == "ULLAGE_ENABLED" and found.value == "false":
            text = f"ULLAGE_ENABLED={environ['ULLAGE_ENABLED'].strip()}: nothing is measured"
            findings.append(fail(CHECK, text, "take it out, or set it to 1, and restart the process"))
    return [*findings, *_unknown(environ)]


def _unknown(environ: Mapping[str, str]) -> Iterator[Finding]:
    known = {setting.name for kind in _KINDS for setting in settings_of(kind).values()}
    for name in sorted(environ):
        if name.startswith("ULLAGE_") and name not in known and not _OF_SERVICES.fullmatch(name):
            close = difflib.get_close_matches(name, known, 1, cutoff=0.8)
            step = f"did you mean {close[0]}?" if close else "docs/settings.md has those that there are"
            yield warn(CHECK, f"{name} is no setting of this version and has no effect", step)
