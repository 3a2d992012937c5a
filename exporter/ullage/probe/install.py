"""Install each probe as soon as its library is imported. Never raises: an application must start whatever is wrong."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Mapping
from importlib import import_module
from typing import Any

from ullage.inject.hook import Hook
from ullage.probe.process import Process, start
from ullage.settings import probe_settings

log = logging.getLogger("ullage")

# The probes, and what must have been imported before each can be installed.
PROBES = {
    "pool": frozenset({"sqlalchemy"}),
    "flask": frozenset({"flask"}),
    "rq": frozenset({"rq"}),
    "session": frozenset({"rq", "sqlalchemy.orm"}),
}
WAITING, INSTALLED, ELSEWHERE = "waiting", "installed", "installed by another copy of ullage"


class Installation:
    """What is installed in this process, and what is waited for."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self.states = dict.fromkeys(PROBES, WAITING)
        self._imported: set[str] = set()
        # Threads may import libraries at once: a probe is installed by the one that takes it from here.
        self._probes = dict(PROBES)
        self.hook = Hook(frozenset().union(*PROBES.values()), self.imported)

    def install(self) -> None:
        """Install what is possible already, and wait for the rest."""
        self.hook.put_on()
        for name in list(self.hook.waiting):
            if _is_imported(name):
                self.hook.executed(name)

    def imported(self, name: str) -> None:
        """Called when a module has been imported."""
        self._imported.add(name)
        for probe, needs in PROBES.items():
            if needs <= self._imported and self._probes.pop(probe, frozenset()):
                self._install(probe)

    def _install(self, probe: str) -> None:
        try:
            found = import_module(f"ullage.probe.{probe}").install(self.process)
            self.states[probe] = ELSEWHERE if found is None else INSTALLED
        except Exception as error:
            self.states[probe] = f"{type(error).__name__}: {error}"
            if type(error).__module__.partition(".")[0] == "rq":
                raise  # its timer, in a job that imports the library
            log.error("ullage: the %s probe could not be installed: %s", probe, self.states[probe])


installation: Installation | None = None
# Why the last attempt came to nothing.
problem = ""


def install_probes(environ: Mapping[str, str] | None = None) -> bool:
    """See `ullage.install`."""
    found = _install(os.environ if environ is None else environ)
    return found is not None and set(found.states.values()) <= {WAITING, INSTALLED, ELSEWHERE}


def library_imported(name: str) -> None:
    """Called by the injected hook, which may be another version's, once: when the first library has been imported."""
    found = _install(os.environ)
    if found is not None:
        found.hook.executed(name)


def _install(environ: Mapping[str, str]) -> Installation | None:
    global installation, problem
    try:
        settings = probe_settings(environ, log.warning)
        if not settings.enabled:
            problem = "ULLAGE_ENABLED is off"
            return None
        process = start(settings)
        made = Installation(process)
        if installation is None:  # nothing is called from here to the store, as in `start`
            installation = made
            made.install()
    except Exception as error:  # noqa: BLE001 - see the module's docstring
        problem = f"{type(error).__name__}: {error}"
        log.error("ullage is off: %s", problem)
        return None
    return installation


def _is_imported(name: str) -> bool:
    """Say whether a module has been imported, waiting for another thread that is about to."""
    spec: Any = getattr(sys.modules.get(name), "__spec__", None)
    if getattr(spec, "_initializing", False):
        __import__(name)
    return sys.modules.get(name) is not None and not getattr(spec, "_initializing", False)
