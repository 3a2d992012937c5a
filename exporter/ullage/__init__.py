"""Connection pools, stale connections and session leaks, on Prometheus."""

from __future__ import annotations

from collections.abc import Mapping

from ullage.policy import UnreleasedSessionError, policy

__all__ = ["UnreleasedSessionError", "__version__", "install", "policy"]

__version__ = "0.1.0"


def install(environ: Mapping[str, str] | None = None) -> bool:
    """Measure this process and its forked children; call it before or after engines are made, as often as you like.

    Never raises. Settings come from `environ`, by default the process's: docs/settings.md. Returns False when
    ULLAGE_ENABLED=0 or a probe could not be installed, which is logged in one line.
    """
    # Imported late: the sidecar has this package too, and needs no probe.
    from ullage.probe.install import install_probes

    return install_probes(environ)
