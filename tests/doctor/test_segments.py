"""The segments: live, free and unreadable ones, each with what it says of its process."""

from __future__ import annotations

import os

from tests.doctor.conftest import STRANGER
from ullage import metrics as m
from ullage.claim import claim
from ullage.doctor.finding import Finding
from ullage.doctor.segments import examine, read_all
from ullage.segment import Identity
from ullage.segment import layout as at

OWN = os.geteuid()


def look(directory, *, for_writing=True) -> list[Finding]:
    """Read a directory and return what is said of it."""
    segments, _ = read_all(directory)
    return examine(segments, for_writing=for_writing)


def lines(findings: list[Finding], mark: str) -> list[str]:
    """Return the lines with a mark, without mark and check."""
    return [finding.line()[17:] for finding in findings if finding.mark == mark]


def test_live_and_free(tmp_path):
    """A live segment names its process and pools, until the process ends; a file that is being made is not counted."""
    owned = claim(tmp_path, Identity("web", "app", OWN), 60.0)
    owned.writer.words[owned.writer.gauge(m.PROBE_UP, "pool")] = 1.0
    owned.writer.words[owned.writer.gauge(m.POOLS, "mysql://db/shop")] = 2.0
    (tmp_path / "x.new").write_bytes(b"")
    first, second = lines(look(tmp_path), "ok")
    assert first == "1 live, 0 free, 0 unreadable"
    assert second.startswith(f"{owned.path.name}: role web of container app, pid {os.getpid()}, uid {OWN}, since 20")
    assert second.endswith("Z, probes up: pool, pools of mysql://db/shop")
    owned.abandon()
    assert lines(look(tmp_path), "ok") == ["0 live, 1 free, 0 unreadable"]


def test_a_probe_that_went_silent(tmp_path):
    """A probe that failed at work is named, with its process."""
    owned = claim(tmp_path, Identity("web", "", OWN), 60.0)
    owned.writer.words[owned.writer.gauge(m.PROBE_UP, "pool")] = 0.0
    (line,) = lines(look(tmp_path), "fail")
    assert line.startswith(f"{owned.path.name}: the pool probe failed in pid {os.getpid()} and measures no more; ")


def test_unreadable(tmp_path):
    """Each file that cannot be read is named with the reason and the next step."""
    owned = claim(tmp_path, Identity("web", "", OWN), 60.0)
    owned.abandon()
    newer = bytearray(owned.path.read_bytes())
    newer[8:12] = (at.VERSION + 1).to_bytes(4, "little")
    (tmp_path / "newer.seg").write_bytes(newer)
    (tmp_path / "garbage.seg").write_bytes(b"\xff" * at.SIZE)
    (tmp_path / "short.seg").write_bytes(b"ULLAGE")
    (tmp_path / "notes\n.txt").write_text("")
    (tmp_path / "link.seg").symlink_to("/etc/passwd")
    os.mkfifo(tmp_path / "fifo.seg")
    findings = look(tmp_path)
    assert lines(findings, "ok") == ["0 live, 1 free, 6 unreadable"]
    failed = {name: text for name, _, text in (line.partition(": ") for line in lines(findings, "fail"))}
    assert set(failed) == {"fifo.seg", "link.seg"}
    assert failed["link.seg"].startswith("no_access: Too many levels of symbolic links; give the directory to ullage ")
    warned = {name: text for name, _, text in (line.partition(": ") for line in lines(findings, "warn"))}
    assert warned["newer.seg"].endswith("; run probe and sidecar of one release")
    assert warned["newer.seg"].startswith(f"unknown_version: version {at.VERSION + 1}, ")
    assert warned["garbage.seg"].startswith("bad_magic: ")
    assert warned["short.seg"].startswith("too_short: ")
    assert warned["notes .txt"] == "foreign: no segment; keep other files out of the segment directory"


def test_segments_of_another_user(tmp_path):
    """Free segments of another uid are kept for nobody; live ones are of those whom the report is not about."""
    claim(tmp_path, Identity("web", "", STRANGER), 60.0).abandon()
    (line,) = lines(look(tmp_path), "warn")
    assert line.startswith(f"1 free segment of uid {STRANGER}, which no process of another uid goes on with; keep ")
    owned = claim(tmp_path, Identity("web", "", STRANGER), 60.0)
    (line,) = lines(look(tmp_path), "warn")
    assert line.startswith(
        f"the processes that write are of uid {STRANGER}, and this is uid {OWN}; run the doctor as uid "
    )
    assert lines(look(tmp_path, for_writing=False), "warn") == []
    owned.abandon()


def test_full_tables(tmp_path):
    """Observations that found no room are said."""
    owned = claim(tmp_path, Identity("web", "", OWN), 60.0)
    owned.writer.words[at.DROPPED_SERIES] = 3.0
    assert lines(look(tmp_path), "warn")[0].startswith("3 observations found a full table; look for label values ")
    owned.abandon()


def test_many_processes(tmp_path):
    """Beyond twenty processes the rest is a number."""
    owned = [claim(tmp_path, Identity("web", "", OWN), 60.0) for _ in range(22)]
    found = lines(look(tmp_path), "ok")
    assert len(found) == 22
    assert found[-1] == "and 2 more live ones; --json has them all"
    for claimed in owned:
        claimed.abandon()
