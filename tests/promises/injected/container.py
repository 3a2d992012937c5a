"""A container as a pod would have it: an image's environment and user, and what injection adds to that."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.servers import owned_command

# A user that no system knows.
FOREIGN = 43210


@dataclass(frozen=True)
class Image:
    """What an image fixes. `{code}` in the environment is where the application's files are."""

    name: str
    environ: Mapping[str, str] = field(default_factory=dict)
    entrypoint: tuple[str, ...] = ()
    # An agent's command in front of every command, and whether it comes before our launcher.
    agent: tuple[str, ...] = ()
    is_agent_first: bool = False
    # Whether the command is known, and the launcher comes in front; else the pod's PYTHONPATH repeats the image's.
    has_launcher: bool = True
    # Another user, and a read-only root.
    is_locked: bool = False
    # The output that the application's logging is set up to use, once it is.
    log: str = "stderr"


@dataclass(frozen=True)
class Injection:
    """What is added to a container. `mounts` are commands of a mount namespace that ends with the container."""

    volume: Path
    segments: Path
    mounts: tuple[str, ...] = ()
    environ: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Container:
    """A way to run an image's programs."""

    image: Image
    python: Path
    place: Path
    injection: Injection | None = None

    @property
    def code(self) -> Path:
        """Where the application's files are."""
        return self.place / "code"

    def environ(self, role: str, **more: str) -> dict[str, str]:
        """Return the environment of a program; nothing of this process's own gets into it."""
        image = {name: value.format(code=self.code) for name, value in self.image.environ.items()}
        path = f"{self.python.parent}:/usr/local/bin:/usr/bin:/bin"
        found = {"PATH": path, "HOME": "/nonexistent", "LANG": "C.UTF-8", **image, **more}
        if self.injection is None:
            return found
        found |= {"ULLAGE_DIR": str(self.injection.segments), "ULLAGE_ROLE": role, "ULLAGE_CONTAINER": role}
        if not self.image.has_launcher:
            entries = [str(self.injection.volume / "site"), image.get("PYTHONPATH", "")]
            found["PYTHONPATH"] = os.pathsep.join(filter(None, entries))
        return {**found, **self.injection.environ}

    def command(self, arguments: Sequence[str]) -> list[str]:
        """Return what a program is started by; it is the process itself in the end."""
        found = [*self.image.entrypoint, *arguments]
        launcher = [str(self.injection.volume / "ullage-run")] if self.injection and self.image.has_launcher else []
        agent = self.image.agent
        found = [*agent, *launcher, *found] if self.image.is_agent_first else [*launcher, *agent, *found]
        mounts = list(self.injection.mounts) if self.injection else []
        if self.image.is_locked:
            # The volumes are mounts of their own, which stay writable.
            writable = [self.injection.volume] if self.injection else []
            mounts += [f"mount --bind {shlex.quote(str(path))} {shlex.quote(str(path))}" for path in writable]
            mounts += ["mount -o remount,bind,ro /"]
            user = ["--reuid", str(FOREIGN), "--regid", str(FOREIGN), "--clear-groups", "--bounding-set", "-all"]
            found = ["setpriv", *user, "--no-new-privs", "--pdeathsig", "TERM", "--", *found]
        if mounts:
            script = "; ".join(["set -e", *mounts, 'exec "$@"'])
            found = ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh", *found]
        return owned_command(found)
