"""The segment directory: whatever is wrong with it is one line that fails, and the next step."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ullage.claim import MAX_FILES, claim
from ullage.doctor import Report
from ullage.doctor.directory import examine, file_system
from ullage.segment import Identity
from ullage.segment import layout as at

IDENTITY = Identity("web", "", os.geteuid())


def failed(findings) -> list[str]:
    """Return the lines that fail."""
    return [finding.line() for finding in findings if finding.mark == "fail"]


def test_missing(pod):
    """A directory that is not there fails, with what to mount."""
    found = pod.ask("--dir", "/nowhere/segments")
    assert found.status == 1
    assert found.said("directory") == (
        f"/nowhere/segments: No such file or directory, for uid {os.geteuid()}; "
        "mount a writable emptyDir there or set ULLAGE_DIR"
    )
    assert found.said("probes") == "install: pool, flask, rq, session"


def test_a_file_in_its_place(tmp_path):
    """A file of that name is no directory."""
    (tmp_path / "file").write_text("")
    (line,) = failed(examine(tmp_path / "file", for_writing=True))
    assert f"{tmp_path}/file: Not a directory, for uid " in line


def test_on_a_disk():
    """A directory on a disk works, and is worth a look."""
    (line,) = [found.line() for found in examine(at_home(), for_writing=False) if found.mark == "warn"]
    assert "not in memory: " in line
    assert line.endswith(
        "use an emptyDir with medium: Memory, or a directory in /dev/shm, so that nothing is written to a disk"
    )


def at_home() -> Path:
    """Return a directory that is on a disk."""
    here = Path(__file__).parent
    if file_system(here)[0] == "tmpfs":
        pytest.skip("the sources are in memory here; run the tests from a clone on a disk to include this one")
    return here


def test_full(pod, mounted):
    """A full directory fails, as the next process would not be measured; not so with a free segment to go on with."""
    mounted("size=256k")
    filler = pod.segments / "x.new"
    filler.write_bytes(bytes(256 * 1024))
    found = pod.ask()
    assert found.status == 1
    ((check, text),) = found.marked("fail")
    assert check == "directory"
    assert text == (
        f"0.0 MiB free: room for 0 more segments of {at.SIZE // 1024} KiB, so a new process is not measured; "
        "raise the emptyDir's sizeLimit and the container's memory limit, or remove what else is in there"
    )
    filler.unlink()
    claim(pod.segments, IDENTITY, 60.0).abandon()
    findings = Report(pod.environment()).findings
    assert failed(findings) == []
    assert any("; 1 free segment can be used again; raise " in found.line() for found in findings)


def test_read_only(pod, mounted):
    """A directory that is mounted read-only fails by that name."""
    mounted("ro")
    (line,) = failed(Report(pod.environment()).findings)
    assert f"{pod.segments}: not writable by uid 0: Read-only file system (owner 0:0, " in line


def test_wrong_uid(pod, as_stranger):
    """Another user's directory fails, with its owner and mode, and nothing is left in it."""
    owned = claim(pod.segments, IDENTITY, 60.0)
    pod.segments.chmod(0o755)
    found = pod.ask(user=as_stranger)
    assert found.status == 1
    assert found.said("directory", "fail") == (
        f"{pod.segments}: not writable by uid {as_stranger}: Permission denied (owner 0:0, mode 0755); "
        "mount it without readOnly, and let the application's user write it: an emptyDir does"
    )
    assert found.said("segments", "warn").startswith(
        f"the processes that write are of uid 0, and this is uid {as_stranger}"
    )
    assert list(pod.segments.iterdir()) == [owned.path]


def test_a_directory_that_may_not_be_listed(pod, as_stranger):
    """A directory that this user may not read fails."""
    pod.segments.chmod(0o700)
    found = pod.ask(user=as_stranger)
    assert f"{pod.segments}: Permission denied, for uid {as_stranger}" in found.said("directory", "fail")


def test_too_many_files(tmp_path):
    """So many files that no more are made fail."""
    for number in range(MAX_FILES):
        os.close(os.open(tmp_path / f"{number}.seg", os.O_CREAT))
    assert any(
        f"{MAX_FILES} files, at most {MAX_FILES}; empty it" in line
        for line in failed(examine(tmp_path, for_writing=False))
    )


def test_file_systems(tmp_path):
    """The innermost mount counts, the later of two at one place, and names with spaces are read."""
    (tmp_path / "run ullage").mkdir()
    mounts = tmp_path / "mountinfo"
    mounts.write_text(
        "1 0 8:1 / / rw - ext4 /dev/vda rw\n"
        f"2 1 0:5 / {tmp_path} rw shared:1 - xfs /dev/vdb rw\n"
        f"3 2 0:6 / {tmp_path}/run\\040ullage rw - nfs server:/x rw\n"
        f"4 3 0:7 / {tmp_path}/run\\040ullage rw - tmpfs tmpfs rw,size=64k\n"
    )
    assert file_system(tmp_path / "run ullage", mounts) == ("tmpfs", f"{tmp_path}/run ullage")
    assert file_system(tmp_path, mounts) == ("xfs", str(tmp_path))
    assert file_system(tmp_path, tmp_path / "none") == ("", "/")


def test_nothing_is_left_where_files_need_names(tmp_path, monkeypatch):
    """On a file system without nameless files the one that is tried is gone at once."""
    monkeypatch.delattr(os, "O_TMPFILE")
    monkeypatch.setattr(os, "O_TMPFILE", os.O_CREAT | os.O_EXCL, raising=False)  # refused for a directory that is there
    assert failed(examine(tmp_path, for_writing=True)) == []
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_left_by_a_doctor_that_is_killed(tmp_path):
    """Killed while it holds its file, it leaves none: the file has no name."""
    code = (
        "import os, signal, ullage.doctor.directory as d, pathlib\n"
        "d._locks = lambda fd: os.kill(os.getpid(), signal.SIGKILL)\n"
        f"d.examine(pathlib.Path({str(tmp_path)!r}), for_writing=True)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -9
    assert list(tmp_path.iterdir()) == []
