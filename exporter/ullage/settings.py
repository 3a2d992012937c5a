"""The environment, read once into frozen dataclasses; docs/settings.md is produced from them.

Imported inside applications too, so it needs the standard library alone and importing it reads nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ullage.kinds import (
    BUDGET,
    PATH,
    REDIS_URL,
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
from ullage.setting import Setting, Settings, described, load, settings_of, show

_APP = r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\(\))?"
_MODULE = r"[^\W\d]\w*(\.[^\W\d]\w*)*(:[^\W\d]\w*(\.[^\W\d]\w*)*(\(\))?)?"
# Stands for the modules of the waiting jobs' functions.
PRELOAD_AUTO = "auto"


def _hops(header: str) -> dict[str, Any]:
    name = f"ULLAGE_PROXY_X_{header.upper()}"
    return described(name, integer(0, 10), f"How many proxies in front set `X-Forwarded-{header}`.")


@dataclass(frozen=True)
class _SharedSettings(Settings):
    directory: Path = field(
        default=Path("/run/ullage"),
        metadata=described(
            "ULLAGE_DIR", PATH, "The segment directory, shared by the application and the sidecar.", "--dir"
        ),
    )


@dataclass(frozen=True)
class ProbeSettings(_SharedSettings):
    """Settings of the application's processes: the probe and the Gunicorn entry."""

    enabled: bool = field(
        default=True,
        metadata=described(
            "ULLAGE_ENABLED",
            SWITCH,
            "Whether anything is measured; if not, the application runs as if ullage were not there.",
        ),
    )
    role: str = field(
        default="app",
        metadata=described(
            "ULLAGE_ROLE",
            matching(r"[a-z0-9_-]{1,31}", "1 to 31 of a-z, 0-9, _ and -"),
            "The `role` label of everything that these processes measure, such as `web` or `worker`.",
        ),
    )
    container: str = field(
        default="",
        metadata=described(
            "ULLAGE_CONTAINER",
            Kind("printable text of at most 63 bytes", parse_label),
            "The container's name; a process continues only the segments of its own container.",
        ),
    )
    pre_ping: str = field(
        default="off",
        metadata=described(
            "ULLAGE_PRE_PING",
            choice("off", "enforce"),
            "`enforce` turns on pre-ping for pools without it, so that no stale connection reaches a user.",
        ),
    )
    policy: str = field(
        default="observe",
        metadata=described(
            "ULLAGE_POLICY",
            choice(*POLICIES),
            "What is done about a session that a job did not release: `ignore` it, count it (`observe`), "
            "release it too (`reclaim`), or fail the job (`strict`).",
        ),
    )
    policy_overrides: tuple[str, ...] = field(
        default=(),
        metadata=described(
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
        metadata=described(
            "ULLAGE_FORK_SAFETY",
            SWITCH,
            "Whether a forked child gets connections of its own rather than its parent's.",
        ),
    )
    leak_threshold_seconds: float = field(
        default=60.0,
        metadata=described(
            "ULLAGE_LEAK_THRESHOLD_SECONDS",
            Kind("a number of seconds above 0", parse_seconds),
            "A connection that is checked out for longer counts as over the threshold.",
        ),
    )
    skip_frames: tuple[str, ...] = field(
        default=(),
        metadata=described(
            "ULLAGE_SKIP_FRAMES",
            list_of(r"[^:]*\.py(:([^\W\d]\w*|<\w+>))?", "ends of paths such as `db.py` or `shop/db.py:get_session`"),
            "Code that no checkout is attributed to, such as the application's own `get_session()`.",
        ),
    )
    app: str | None = field(
        default=None,
        metadata=described(
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
        metadata=described(
            "ULLAGE_PROBE_PATHS",
            list_of(r"/[^\s?#]*", "request paths that begin with /"),
            "Requests to these paths come from inside the cluster; the forwarded-hops count leaves them out.",
        ),
    )


@dataclass(frozen=True)
class WorkerSettings(Settings):
    """Settings of `ullage worker`, beside those of its probe."""

    preload: tuple[str, ...] = field(
        default=(PRELOAD_AUTO,),
        metadata=described(
            "ULLAGE_PRELOAD",
            list_of(_MODULE, "`module`, `module:callable` or `auto`"),
            "What to import, and to call, once, before the first job; `auto` takes the waiting jobs' functions.",
            "--preload",
        ),
    )
    heartbeat_file: Path | None = field(
        default=None,
        metadata=described(
            "ULLAGE_HEARTBEAT_FILE",
            PATH,
            "The file whose modification time follows the worker's main loop, for liveness probes.",
            "--heartbeat-file",
        ),
    )


@dataclass(frozen=True)
class ListenSettings(Settings):
    """Settings of whatever listens."""

    listen_address: str = field(
        default="0.0.0.0",  # noqa: S104 - Prometheus comes from another pod
        metadata=described(
            "ULLAGE_LISTEN_ADDRESS",
            Kind("an IPv4 address, an IPv6 address or a host name, without a port", parse_address),
            "The address to listen on; `::` takes IPv6 and IPv4.",
            "--listen-address",
        ),
    )
    port: int = field(
        default=9145,
        metadata=described("ULLAGE_PORT", integer(0, 65535), "The port to listen on; 0 takes any free one.", "--port"),
    )
    web_config_file: Path | None = field(
        default=None,
        metadata=described(
            "ULLAGE_WEB_CONFIG_FILE",
            PATH,
            "TLS and basic authentication, in the format of Prometheus' exporter-toolkit.",
            "--web-config-file",
        ),
    )
    log_level: str = field(
        default="info",
        metadata=described(
            "ULLAGE_LOG_LEVEL",
            choice("debug", "info", "warning", "error"),
            "The least severe lines to log.",
            "--log-level",
        ),
    )


@dataclass(frozen=True)
class ServeSettings(ListenSettings, _SharedSettings):
    """Settings of the sidecar, `ullage serve`."""


@dataclass(frozen=True)
class ObserveSettings(ListenSettings):
    """Settings of the observer, `ullage observe`."""

    # No flag: the arguments of a process are there for everyone to read.
    redis_url: str | None = field(
        default=None,
        repr=False,
        metadata=described(
            "ULLAGE_REDIS_URL",
            REDIS_URL,
            "The Redis of the queues; else `RQ_REDIS_URL`, else `REDIS_URL`; without any no queue is measured.",
            fallbacks=("RQ_REDIS_URL", "REDIS_URL"),
        ),
    )
    key_prefix: str = field(
        default="rq",
        metadata=described(
            "RQ_KEY_PREFIX",
            matching(r"[A-Za-z0-9_.:{}-]+", "letters, digits, and _ . : - { }"),
            "What RQ's keys in Redis begin with, as RQ itself reads it from 3.0 on.",
        ),
    )
    queues: tuple[str, ...] = field(
        default=(),
        metadata=described(
            "ULLAGE_QUEUES",
            list_of(r"[^,]+", "names"),
            "The queues to measure; none is all that there are.",
            "--queues",
        ),
    )
    connection_budget: tuple[tuple[str, int], ...] = field(
        default=(),
        metadata=described(
            "ULLAGE_CONNECTION_BUDGET", BUDGET, "How many database connections each component may open at most."
        ),
    )
    connection_limit: int | None = field(
        default=None,
        metadata=described(
            "ULLAGE_CONNECTION_LIMIT", integer(1, 999_999_999), "How many connections the database accepts."
        ),
    )
    pod_selector: str | None = field(
        default=None,
        metadata=described(
            "ULLAGE_POD_SELECTOR",
            matching(r"[^\0]{1,1000}", "a label selector such as `app.kubernetes.io/instance=shop`"),
            "The pods whose leaks become Kubernetes Events; without it Kubernetes is not asked.",
            "--pod-selector",
        ),
    )
    pod_namespace: str | None = field(
        default=None,
        metadata=described(
            "ULLAGE_POD_NAMESPACE",
            matching(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", "a namespace's name"),
            "The namespace of these pods; without it, that of the service account.",
        ),
    )
    metrics_port: int = field(
        default=9145,
        metadata=described("ULLAGE_METRICS_PORT", integer(1, 65535), "The port of the sidecars in these pods."),
    )
    events: bool = field(
        default=True, metadata=described("ULLAGE_EVENTS", SWITCH, "Whether Kubernetes Events are written at all.")
    )
    events_interval_seconds: float = field(
        default=30.0,
        metadata=described(
            "ULLAGE_EVENTS_INTERVAL_SECONDS",
            Kind("a number of seconds above 0", parse_seconds),
            "How often the sidecars are asked for leaks.",
        ),
    )
    runbook_url: str | None = field(
        default=None,
        metadata=described(
            "ULLAGE_RUNBOOK_URL",
            matching(r"https?://[!-~]{1,300}", "a URL"),
            "The page that an Event names, about what to do against a leak.",
        ),
    )


def probe_settings(environ: Mapping[str, str], complain: Callable[[str], object] | None = None) -> ProbeSettings:
    """Read the probe's settings; with `complain` a bad value is told to it and the default is used."""
    return load(ProbeSettings, environ, {}, complain)


def worker_settings(environ: Mapping[str, str], flags: Mapping[str, str] | None = None) -> WorkerSettings:
    """Read the settings of `ullage worker`; `flags`, by variable name, override the environment."""
    return load(WorkerSettings, environ, flags or {}, None)


def serve_settings(environ: Mapping[str, str], flags: Mapping[str, str] | None = None) -> ServeSettings:
    """Read the sidecar's settings; `flags`, by variable name, override the environment."""
    return load(ServeSettings, environ, flags or {}, None)


def observe_settings(environ: Mapping[str, str], flags: Mapping[str, str] | None = None) -> ObserveSettings:
    """Read the observer's settings; `flags`, by variable name, override the environment."""
    return load(ObserveSettings, environ, flags or {}, None)


def document() -> str:
    """Return docs/settings.md."""
    lines = [
        "# Settings",
        "",
        "Set these in the environment; a flag of `ullage serve`, `worker` or `observe` overrides its variable.",
        "An empty value is the same as none at all.",
        "A bad value of their own stops these three with one line and exit status 2.",
        "A bad value of the application's settings is logged once, and the default is used instead.",
        "",
        "This page is produced by `python -m ullage.settings`.",
    ]
    pages = (
        (ProbeSettings, "The application"),
        (WorkerSettings, "The worker, `ullage worker`"),
        (ServeSettings, "The sidecar, `ullage serve`"),
        (ObserveSettings, "The observer, `ullage observe`"),
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
