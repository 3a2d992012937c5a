"""Measure an application that is not changed: what an init container copies, and what became of it in this process."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path

NOT_INJECTED = "ullage was not injected into this process: no PYTHONPATH leads to its sitecustomize"


@dataclass(frozen=True)
class Report:
    """What is measured in this process, and what not and why."""

    # The directory that was injected, '' when none was.
    directory: str = ""
    # Why nothing is measured; '' when something is, or will be once its library is imported.
    reason: str = ""
    # The package that measures, which may be the application's own copy; '' before the first library is imported.
    package: str = ""
    version: str = ""
    # The segment that is written, and why there is none.
    segment: str = ""
    problem: str = ""
    # Each probe: `waiting` for its library, `installed`, `silent` after an error, or why it could not be installed.
    probes: dict[str, str] = field(default_factory=dict)


def report() -> Report:
    """Say what is measured in this process. Changes nothing and imports no probe."""
    names = ("_ullage_sitecustomize", "_ullage_usercustomize")
    injected = next((sys.modules[name] for name in names if name in sys.modules), None)
    directory = getattr(injected, "root", "")
    install = sys.modules.get("ullage.probe.install")
    if install is None or install.installation is None:
        reason = getattr(install, "problem", "") or getattr(injected, "reason", NOT_INJECTED)
        return Report(directory, reason)
    import ullage

    process = install.installation.process
    states = dict(install.installation.states)
    for name, probe in process.probes.items():
        if probe.failed:
            states[name] = "silent after an error"
    return Report(
        directory,
        package=str(Path(ullage.__file__).parent),
        version=ullage.__version__,
        segment=process.segment,
        problem=process.problem,
        probes=states,
    )
