"""The segment directory: there, writable, with room, in memory, and with locks that work. Leaves nothing behind."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ullage import locks
from ullage.claim import MAX_FILES, UNBORN_SUFFIX
from ullage.doctor.finding import Finding, fail, ok, plural, warn
from ullage.segment import layout as at

CHECK = "directory"
MOUNT = "mount a writable emptyDir there or set ULLAGE_DIR"
IN_MEMORY = ("tmpfs", "ramfs")
_UNESCAPED = {"\\040": " ", "\\011": "\t", "\\012": "\n", "\\134": "\\"}


def examine(directory: Path, *, for_writing: bool, spare: int = 0) -> list[Finding]:
    """Look at the directory, as a process that writes segments or as one that reads them.

    `spare` is how many free segments a new process of this user can go on with.
    """
    try:
        status = directory.stat()
        names = os.listdir(directory)  # noqa: PTH208 - names alone
    except OSError as error:
        return [fail(CHECK, f"{directory}: {error.strerror}, for uid {os.geteuid()}", MOUNT)]
    owner = f"owner {status.st_uid}:{status.st_gid}, mode {stat.S_IMODE(status.st_mode):04o}"
    findings = [ok(CHECK, f"{directory}: there, {plural(len(names), 'file')}, {owner}; this is uid {os.geteuid()}")]
    findings.append(_kind(directory))
    if len(names) >= MAX_FILES:
        findings.append(fail(CHECK, f"{directory}: {len(names)} files, at most {MAX_FILES}", "empty it"))
    if for_writing:
        findings += [_room(directory, spare), *_try_to_write(directory, owner)]
    return findings


def _kind(directory: Path) -> Finding:
    kind, mount = file_system(directory)
    if kind in IN_MEMORY:
        return ok(CHECK, f"in memory: {kind} at {mount}")
    step = "use an emptyDir with medium: Memory, or a directory in /dev/shm, so that nothing is written to a disk"
    return warn(CHECK, f"not in memory: {kind or 'an unknown file system'} at {mount}", step)


def file_system(directory: Path, mounts: Path = Path("/proc/self/mountinfo")) -> tuple[str, str]:
    """Return the type of the file system that holds a directory, and where that is mounted."""
    place = directory.resolve()
    found = ("", "/")
    try:
        lines = mounts.read_text(errors="surrogateescape").splitlines()
    except OSError:
        return found
    for line in lines:
        before, _, after = line.partition(" - ")
        mount = before.split(" ")[4]
        for escape, letter in _UNESCAPED.items():
            mount = mount.replace(escape, letter)
        # Of two at one place the later one covers the other.
        if len(mount) >= len(found[1]) and place.is_relative_to(mount):
            found = (after.split(" ")[0], mount)
    return found


def _try_to_write(directory: Path, owner: str) -> Iterator[Finding]:
    try:
        with _nameless_file(directory) as fd:
            yield ok(CHECK, "writable: a file could be made")
            yield _locks(fd)
    except OSError as error:
        text = f"{directory}: not writable by uid {os.geteuid()}: {error.strerror} ({owner})"
        yield fail(CHECK, text, "mount it without readOnly, and let the application's user write it: an emptyDir does")


@contextmanager
def _nameless_file(directory: Path) -> Iterator[int]:
    """Give a file in the directory that has no name, and so is gone however this process ends."""
    flags = os.O_RDWR | os.O_CLOEXEC
    try:
        fd = os.open(directory, flags | os.O_TMPFILE, 0o600)
    except OSError as error:
        if isinstance(error, PermissionError):
            raise
        # A file system without such files; the sidecar ignores the suffix.
        path = directory / f"{os.urandom(8).hex()}{UNBORN_SUFFIX}"
        fd = os.open(path, flags | os.O_CREAT | os.O_EXCL, 0o600)
        path.unlink()
    try:
        yield fd
    finally:
        os.close(fd)


def _room(directory: Path, spare: int) -> Finding:
    """Say whether one more segment fits."""
    free = os.statvfs(directory)
    left = free.f_bavail * free.f_frsize
    segments = min(left // at.SIZE, free.f_favail) if free.f_files else left // at.SIZE
    text = f"{left / 2**20:.1f} MiB free: room for {plural(segments, 'more segment')} of {at.SIZE // 1024} KiB"
    if segments:
        return ok(CHECK, text)
    step = "raise the emptyDir's sizeLimit and the container's memory limit, or remove what else is in there"
    if spare:
        return warn(CHECK, f"{text}; {plural(spare, 'free segment')} can be used again", step)
    return fail(CHECK, f"{text}, so a new process is not measured", step)


def _locks(fd: int) -> Finding:
    """Take a lock by one open file and ask for it by another, as a probe and the sidecar do."""
    step = "use an emptyDir with medium: Memory"
    if not locks.SUPPORTED:
        return fail("locks", "this platform has no open-file-description locks", "run on Linux")
    try:
        other = os.open(f"/proc/self/fd/{fd}", os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        return warn("locks", f"could not be tried: /proc/self/fd: {error.strerror}", "mount /proc in the container")
    try:
        works = locks.acquire(fd, locks.LIVE) and locks.is_held(other, locks.LIVE)
    except OSError as error:
        return fail("locks", f"F_OFD_SETLK does not work on this file system: {error.strerror}", step)
    finally:
        os.close(other)
    if not works:
        return fail("locks", "F_OFD_SETLK has no effect on this file system, so no process would be seen to live", step)
    return ok("locks", "F_OFD_SETLK works on this file system")
