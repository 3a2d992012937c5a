"""`ullage dump`, and the segments of every format version that was ever released."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import pytest

from tests.test_collector import fill
from tests.test_segment import IDENTITY, read
from ullage.claim import claim
from ullage.dump import describe
from ullage.segment import Identity
from ullage.segment import layout as at

GOLDEN = Path(__file__).parent / "golden"


def write_golden(directory: Path) -> None:
    """Write the golden segment of this version, with one series of each kind and checkouts in each state."""
    owned = claim(directory, Identity("web", "app", 10001), 60.0)
    fill(owned, 1)
    for word in (at.PID, at.STARTED_WALL, at.STARTED_MONOTONIC, at.CREATED_WALL, at.LEAKS + 1):
        owned.writer.words[word] = 1.0
    owned.abandon()
    with gzip.GzipFile(GOLDEN / f"segment-v{at.VERSION}.seg.gz", "wb", mtime=0) as file:
        file.write(owned.path.read_bytes())
    (GOLDEN / f"segment-v{at.VERSION}.txt").write_text("\n".join(describe("golden", read(owned.path), 100.0)) + "\n")


@pytest.mark.parametrize("version", [1])
def test_a_released_version_is_read_as_ever(tmp_path, version, request):
    """The golden segment's dump is the golden text; `pytest --update-golden` writes both anew."""
    if request.config.getoption("--update-golden") and version == at.VERSION:
        write_golden(tmp_path)
    path = tmp_path / "golden.seg"
    path.write_bytes(gzip.decompress((GOLDEN / f"segment-v{version}.seg.gz").read_bytes()))
    found = "\n".join(describe("golden", read(path), 100.0)) + "\n"
    assert found == (GOLDEN / f"segment-v{version}.txt").read_text()


def test_a_released_version_is_adopted_as_ever(tmp_path):
    """A process of this release goes on where one of the same format stopped, and counts what that left."""
    path = tmp_path / "golden.seg"
    path.write_bytes(gzip.decompress((GOLDEN / f"segment-v{at.VERSION}.seg.gz").read_bytes()))
    owned = claim(tmp_path, Identity("web", "app", 10001), 60.0)
    assert owned.path == path
    shown = "\n".join(describe("golden", read(path), 100.0))
    assert 'sqlalchemy_pool_checkouts_total{engine="mysql://db/shop"} 10' in shown
    assert 'ullage_leaks_total{kind="died_with_process"} 2' in shown


def test_a_live_segment_names_its_process(tmp_path):
    """While its writer lives the dump says so, with its process id."""
    owned = claim(tmp_path, IDENTITY, 60.0)
    assert f"live, pid {os.getpid()}" in next(describe("x", read(owned.path), 0.0))
