"""Install the probes in this process. Never raises: an application must start whatever is wrong with ullage."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Mapping
from importlib import import_module

from ullage.settings import probe_settings

log = logging.getLogger("ullage")

# Library -> whether to import it for the probe's sake. Flask and RQ are not: the entries import them before.
_LIBRARIES = {
    "sqlalchemy": ("ullage.probe.pool", True),
    "flask": ("ullage.probe.flask", False),
    "rq": ("ullage.probe.rq", False),
}


def install_probes(environ: Mapping[str, str] | None = None) -> bool:
    """See `ullage.install`."""
    try:
        settings = probe_settings(os.environ if environ is None else environ, log.warning)
        if not settings.enabled:
            return False
        from ullage.probe.process import start

        process = start(settings)
        for library, (probe, is_imported) in _LIBRARIES.items():
            if sys.modules.get(library) or (is_imported and _import(library)):
                import_module(probe).install(process)
    except Exception as error:  # noqa: BLE001 - see the module's docstring
        log.error("ullage is off: %s: %s", type(error).__name__, error)
        return False
    return True


def _import(library: str) -> bool:
    try:
        import_module(library)
    except ImportError:
        return False
    return True
