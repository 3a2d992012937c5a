"""One setting: where it is read, and what is said when its value is bad. The settings themselves are in settings.py."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any, TypeVar

from ullage.kinds import Kind

# Kubernetes puts ULLAGE_PORT=tcp://10.0.0.1:9145 into every pod beside a Service that is named ullage.
_SERVICE_LINK = re.compile(r"(tcp|udp|sctp)://\S+")


class SettingError(Exception):
    """A setting has a value that is not allowed."""


@dataclass(frozen=True)
class Setting:
    """One setting: its environment variables, what it takes, what it means, its flag and its default."""

    name: str
    kind: Kind
    meaning: str
    flag: str | None
    default: Any
    # Variables of others, read in this order where the first is not set.
    fallbacks: tuple[str, ...] = ()

    def read(self, environ: Mapping[str, str], flags: Mapping[str, str]) -> Any:
        """Return the flag's value, else the variable's, else the default; raise SettingError if it is bad."""
        given = flags.get(self.name)
        if given is not None:
            return self._parse(given, self.flag or self.name)
        for name in (self.name, *self.fallbacks):
            text = environ.get(name, "").strip()
            if text and not _SERVICE_LINK.fullmatch(text):
                return self._parse(text, name)
        return self.default

    def _parse(self, text: str, source: str) -> Any:
        try:
            return self.kind.parse(text.strip())
        except (ValueError, OSError):
            given = f" of {len(text)} characters" if self.kind.is_secret else "=" + _shorten(text)
            raise SettingError(f"{source}{given} is not allowed: it takes {self.kind.allowed}") from None


def _shorten(text: str) -> str:
    return repr(text if len(text) <= 80 else text[:77] + "...")


@dataclass(frozen=True)
class Settings:
    """A dataclass whose fields were made with `described` in their metadata."""


_S = TypeVar("_S", bound=Settings)


def described(
    name: str, kind: Kind, meaning: str, flag: str | None = None, fallbacks: tuple[str, ...] = ()
) -> dict[str, Any]:
    """Return the metadata of a field that is a setting."""
    return {"name": name, "kind": kind, "meaning": meaning, "flag": flag, "fallbacks": fallbacks}


def settings_of(kind: type[Settings]) -> dict[str, Setting]:
    """Return the settings of a dataclass by field name."""
    return {item.name: Setting(default=item.default, **item.metadata) for item in fields(kind)}


def load(
    kind: type[_S],
    environ: Mapping[str, str],
    flags: Mapping[str, str],
    complain: Callable[[str], object] | None,
) -> _S:
    """Read all settings of a dataclass; with `complain` a bad value is told to it and the default is used."""
    values: dict[str, Any] = {}
    for name, setting in settings_of(kind).items():
        try:
            values[name] = setting.read(environ, flags)
        except SettingError as error:
            if complain is None:
                raise
            values[name] = setting.default
            complain(f"{error}; using the default, {show(setting.default)}")
    return kind(**values)


def show(value: Any) -> str:
    """Return a value as it would be written in the environment."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return ",".join(value) or "none"
    if isinstance(value, float):
        return f"{value:g}"
    return {None: "none", "": "empty"}.get(value, str(value))
