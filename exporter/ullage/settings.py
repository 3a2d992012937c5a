"""The environment, read once into frozen dataclasses; docs/settings.md is produced from them.

Imported inside applications too, so it needs the standard library alone and importing it reads nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

from ullage.kinds import (
    PATH,
    SWITCH,
    Kind,
    choice,
    integer,
    list_of,
    matching,
    parse_address,
    parse_label,
    parse_seconds,
)
from ullage.policy import POLICIES

_APP = r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\(\))?"
_MODULE = r"[^\W\d]\w*(\.[^\W\d]\w*)*(:[^\W\d]\w*(\.[^\W\d]\w*)*(\(\))?)?"
# Stands for the modules of the waiting jobs' functions.
PRELOAD_AUTO = "auto"
# Kubernetes puts ULLAGE_PORT=tcp://10.0.0.1:9145 into every pod beside a Service that is named ullage.
_SERVICE_LINK = re.compile(r"(tcp|udp|sctp)://\S+")


class SettingError(Exception):
    """A setting has a value that is not allowed."""


@dataclass(frozen=True)
class Setting:
    """One setting: the environment variable, what it takes, what it means, its flag and its default."""

    name: str
    kind: Kind
    meaning: str
    flag: str | None
    default: Any

    def read(self, environ: Mapping[str, str], flags: Mapping[str, str]) -> Any:
        """Return the flag's value, else the variable's, else the default; raise SettingError if it is bad."""
        given = flags.get(self.name)
        if given is not None:
            return self._parse(given, self.flag or self.name)
        text = environ.get(self.name, "").strip()
        if not text or _SERVICE_LINK.fullmatch(text):
            return self.default
        return self._parse(text, self.name)

    def _parse(self, text: str, source: str) -> Any:
        try:
            return self.kind.parse(text.strip())
        except (ValueError, OSError):
            shown = repr(text if len(text) <= 80 else text[:77] + "...")
            raise SettingError(f"{source}={shown} is not allowed: it takes {self.kind.allowed}") from None


def _setting(name: str, kind: Kind, meaning: str, flag: str | None = None) -> dict[str, Any]:
    return {"name": name, "kind": kind, "meaning": meaning, "flag": flag}


def _hops(header: str) -> dict[str, Any]:
    name = f"ULLAGE_PROXY_X_{header.upper()}"
    return _setting(name, integer(0, 10), f"How many proxies in front set `X-Forwarded-{header}`.")


@dataclass(frozen=True)
class _Settings:
    pass


@dataclass(frozen=True)
class _SharedSettings(_Settings):
    directory: Path = field(
        default=Path("/run/ullage"),
        metadata=_setting(
            "ULLAGE_DIR", PATH, "The segment directory, shared by the application and the sidecar.", "--dir"
        ),
    )


@dataclass(frozen=True)
class ProbeSettings(_SharedSettings):
    """Settings of the application's processes: the probe and the Gunicorn entry."""

    enabled: bool = field(
        default=True,
        metadata=_setting(
            "ULLAGE_ENABLED",
            SWITCH,
            "Whether anything is measured; if not, the application runs as if ullage were not there.",
        ),
    )
    role: str = field(
        default="app",
        metadata=_setting(
            "ULLAGE_ROLE",
            matching(r"[a-z0-9_-]{1,31}", "1 to 31 of a-z, 0-9, _ and -"),
            "The `role` label of everything that these processes measure, such as `web` or `worker`.",
        ),
    )
    container: str = field(
        default="",
        metadata=_setting(
            "ULLAGE_CONTAINER",
            Kind("printable text of at most 63 bytes", parse_label),
            "The container's name; a process continues only the segments of its own container.",
        ),
    )
    pre_ping: str = field(
        default="off",
        metadata=_setting(
            "ULLAGE_PRE_PING",
            choice("off", "enforce"),
            "`enforce` turns on pre-ping for pools without it, so that no stale connection reaches a user.",
        ),
    )
    policy: str = field(
        default="observe",
        metadata=_setting(
            "ULLAGE_POLICY",
            choice(*POLICIES),
            "What is done about a session that a job did not release: `ignore` it, count it (`observe`), "
            "release it too (`reclaim`), or fail the job (`strict`).",
        ),
    )
    policy_overrides: tuple[str, ...] = field(
        default=(),
        metadata=_setting(
            "ULLAGE_POLICY_OVERRIDES",
            list_of(
                rf"(queue|function|site):[^=,]+=({'|'.join(POLICIES)})",
                "`queue:`, `function:` or `site:`, a name, `=` and a policy",
            ),
            "Other policies: `queue:low=ignore`, `function:app.tasks.load=strict`, `site:app/locks.py=ignore`.",
        ),
    )
    fork_safety: bool = field(
        default=True,
        metadata=_setting(
            "ULLAGE_FORK_SAFETY",
            SWITCH,
            "Whether a forked child gets connections of its own rather than its parent's.",
        ),
    )
    leak_threshold_seconds: float = field(
        default=60.0,
        metadata=_setting(
            "ULLAGE_LEAK_THRESHOLD_SECONDS",
            Kind("a number of seconds above 0", parse_seconds),
            "A connection that is checked out for longer counts as over the threshold.",
        ),
    )
    skip_frames: tuple[str, ...] = field(
        default=(),
        metadata=_setting(
            "ULLAGE_SKIP_FRAMES",
            list_of(r"[^:]*\.py(:([^\W\d]\w*|<\w+>))?", "ends of paths such as `db.py` or `shop/db.py:get_session`"),
            "Code that no checkout is attributed to, such as the application's own `get_session()`.",
        ),
    )
    app: str | None = field(
        default=None,
        metadata=_setting(
            "ULLAGE_APP",
            matching(_APP, "`module:attribute` or `module:factory()`"),
            "The WSGI application that `ullage.wsgi:app` wraps.",
        ),
    )
    proxy_x_for: int = field(default=0, metadata=_hops("For"))
    proxy_x_proto: int = field(default=0, metadata=_hops("Proto"))
    proxy_x_host: int = field(default=0, metadata=_hops("Host"))
    proxy_x_port: int = field(default=0, metadata=_hops("Port"))
    proxy_x_prefix: int = field(default=0, metadata=_hops("Prefix"))
    probe_paths: tuple[str, ...] = field(
        default=("/livez", "/readyz", "/healthz", "/health", "/ping"),
        metadata=_setting(
            "ULLAGE_PROBE_PATHS",
            list_of(r"/[^\s?#]*", "request paths that begin with /"),
            "Requests to these paths come from inside the cluster; the forwarded-hops count leaves them out.",
        ),
    )


@dataclass(frozen=True)
class WorkerSettings(_Settings):
    """Settings of `ullage worker`, beside those of its probe."""

    preload: tuple[str, ...] = field(
        default=(PRELOAD_AUTO,),
        metadata=_setting(
            "ULLAGE_PRELOAD",
            list_of(_MODULE, "`module`, `module:callable` or `auto`"),
            "What to import, and to call, once, before the first job; `auto` takes the waiting jobs' functions.",
            "--preload",
        ),
    )
    heartbeat_file: Path | None = field(
        default=None,
        metadata=_setting(
            "ULLAGE_HEARTBEAT_FILE",
            PATH,
            "The file whose modification time follows the worker's main loop, for liveness probes.",
            "--heartbeat-file",
        ),
    )


@dataclass(frozen=True)
class ServeSettings(_SharedSettings):
    """Settings of the sidecar, `ullage serve`."""

    listen_address: str = field(
        default="0.0.0.0",  # noqa: S104 - Prometheus comes from another pod
        metadata=_setting(
            "ULLAGE_LISTEN_ADDRESS",
            Kind("an IPv4 address, an IPv6 address or a host name, without a port", parse_address),
            "The address to listen on; `::` takes IPv6 and IPv4.",
            "--listen-address",
        ),
    )
    port: int = field(
        default=9145,
        metadata=_setting("ULLAGE_PORT", integer(0, 65535), "The port to listen on; 0 takes any free one.", "--port"),
    )
    web_config_file: Path | None = field(
        default=None,
        metadata=_setting(
            "ULLAGE_WEB_CONFIG_FILE",
            PATH,
            "TLS and basic authentication, in the format of Prometheus' exporter-toolkit.",
            "--web-config-file",
        ),
    )
    log_level: str = field(
        default="info",
        metadata=_setting(
            "ULLAGE_LOG_LEVEL",
            choice("debug", "info", "warning", "error"),
            "The least severe lines to log.",
            "--log-level",
        ),
    )


_S = TypeVar("_S", bound=_Settings)


def settings_of(kind: type[_Settings]) -> dict[str, Setting]:
    """Return the settings of a dataclass by field name."""
    return {item.name: Setting(default=item.default, **item.metadata) for item in fields(kind)}


def probe_settings(environ: Mapping[str, str], complain: Callable[[str], object] | None = None) -> ProbeSettings:
    """Read the probe's settings; with `complain` a bad value is told to it and the default is used."""
    return _load(ProbeSettings, environ, {}, complain)


def worker_settings(environ: Mapping[str, str], flags: Mapping[str, str] | None = None) -> WorkerSettings:
    """Read the settings of `ullage worker`; `flags`, by variable name, override the environment."""
    return _load(WorkerSettings, environ, flags or {}, None)


def serve_settings(environ: Mapping[str, str], flags: Mapping[str, str] | None = None) -> ServeSettings:
    """Read the sidecar's settings; `flags`, by variable name, override the environment."""
    return _load(ServeSettings, environ, flags or {}, None)


def _load(
    kind: type[_S],
    environ: Mapping[str, str],
    flags: Mapping[str, str],
    complain: Callable[[str], object] | None,
) -> _S:
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


def document() -> str:
    """Return docs/settings.md."""
    lines = [
        "# Settings",
        "",
        "Set these in the environment; a flag of `ullage serve` or `ullage worker` overrides its variable.",
        "An empty value is the same as none at all.",
        "A bad value of their own stops these two with one line and exit status 2.",
        "A bad value of the application's settings is logged once, and the default is used instead.",
        "",
        "This page is produced by `python -m ullage.settings`.",
    ]
    pages = (
        (ProbeSettings, "The application"),
        (WorkerSettings, "The worker, `ullage worker`"),
        (ServeSettings, "The sidecar, `ullage serve`"),
    )
    for kind, title in pages:
        lines += ["", f"## {title}", "", "| setting | meaning | takes | *default* |", "|---|---|---|---|"]
        lines += [_row(setting, with_flag=kind is not ProbeSettings) for setting in settings_of(kind).values()]
    return "\n".join(lines) + "\n"


def _row(setting: Setting, *, with_flag: bool) -> str:
    name = f"`{setting.name}`" + (f", `{setting.flag}`" if with_flag and setting.flag else "")
    return f"| {name} | {setting.meaning} | {setting.kind.allowed} | *{show(setting.default)}* |"


if __name__ == "__main__":
    print(document(), end="")
