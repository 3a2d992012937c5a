"""What the segments say of the requests: the development server, and forwarded hops against ProxyFix's count."""

from __future__ import annotations

from collections.abc import Iterator

from ullage import metrics as m
from ullage.doctor.finding import Finding, fail, ok, plural, warn
from ullage.segment import Snapshot
from ullage.settings import ProbeSettings
from ullage.tally import Tally

CHECK = "requests"
# What the rarest of clients, such as somebody's port-forward, may make up without the count being wrong.
FEW = 0.05


def examine(snapshots: list[Snapshot], settings: ProbeSettings, now: float) -> list[Finding]:
    """Look at what Flask's probe has counted."""
    return [*_development_server(snapshots), *_hops(Tally(snapshots, now), settings)]


def _development_server(snapshots: list[Snapshot]) -> Iterator[Finding]:
    tally = Tally((snapshot for snapshot in snapshots if snapshot.is_live), 0.0)
    for (role,), values in tally.samples.get(m.DEVELOPMENT_SERVER, {}).items():
        if any(values):
            text = f"role {role}: Werkzeug's development server answers requests"
            yield fail(CHECK, text, "serve the application by Gunicorn, such as `gunicorn ullage.wsgi:app`")


def _hops(tally: Tally, settings: ProbeSettings) -> Iterator[Finding]:
    roles: dict[str, dict[str, int]] = {}
    for (role, seen), (count, *_) in tally.samples.get(m.FORWARDED_HOPS, {}).items():
        if count:
            roles.setdefault(role, {})[seen] = int(count)
    configured = f"ULLAGE_PROXY_X_FOR={settings.proxy_x_for}, or the app's own ProxyFix"
    for role, counts in roles.items():
        total = sum(counts.values())
        shown = ", ".join(f"{count} {seen}" for seen, count in counts.items())
        text = f"role {role}: X-Forwarded-For hops of {plural(total, 'request')}: {shown} ({configured})"
        if total - counts.get("expected", 0) > FEW * total:
            yield warn(
                CHECK, text, "set the count to the proxies that are in front; docs/proxies.md has them by topology"
            )
        else:
            yield ok(CHECK, text)
