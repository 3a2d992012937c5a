"""Claiming, adopting and giving up segments."""

from __future__ import annotations

import math
import os
import stat
from pathlib import Path

import pytest

from tests.test_segment import read, value
from ullage import locks
from ullage import metrics as m
from ullage.claim import MAX_FILES, UNBORN_SECONDS, ClaimError, claim
from ullage.segment import Identity
from ullage.segment import layout as at

IDENTITY = Identity("web", "app", os.geteuid())


class TestAdoption:
    """A free segment goes on under the next owner."""

    def test_counters_go_on_and_gauges_are_void(self, tmp_path):
        """The next process continues the counters where they stood and has no levels yet."""
        first = claim(tmp_path, IDENTITY, 60.0)
        first.writer.words[first.writer.counter(m.POOL_CHECKOUTS, "a")] += 5.0
        first.writer.words[first.writer.gauge(m.POOLS, "a")] = 1.0
        first.abandon()
        second = claim(tmp_path, IDENTITY, 60.0)
        assert second.path == first.path
        second.writer.words[second.writer.counter(m.POOL_CHECKOUTS, "a")] += 2.0
        snapshot = read(second.path)
        assert value(snapshot, m.POOL_CHECKOUTS, "a") == 7
        assert math.isnan(value(snapshot, m.POOLS, "a"))

    def test_a_thousand_owners_leave_one_file_of_one_size(self, tmp_path):
        """Files and their tables do not grow with the number of processes."""
        for number in range(1000):
            owned = claim(tmp_path, IDENTITY, 60.0)
            owned.writer.words[owned.writer.counter(m.POOL_CHECKOUTS, "a")] += 1.0
            gauge = owned.writer.gauge(m.POOLS, "a")
            owned.writer.words[gauge] = float(number)
            owned.abandon()
        (path,) = tmp_path.iterdir()
        snapshot = read(path)
        assert value(snapshot, m.POOL_CHECKOUTS, "a") == 1000
        assert snapshot.header[at.GAUGES_USED] == 1

    @pytest.mark.parametrize(
        "other",
        [
            Identity("worker", "app", os.geteuid()),
            Identity("web", "other", os.geteuid()),
            Identity("web", "app", os.geteuid() + 1),
        ],
        ids=["role", "container", "uid"],
    )
    def test_only_an_equal_adopts(self, tmp_path, other):
        """Another role, container or user makes a segment of its own."""
        claim(tmp_path, other, 60.0).abandon()
        assert claim(tmp_path, IDENTITY, 60.0).writer.words[at.EPOCH] == 1
        assert len(list(tmp_path.iterdir())) == 2

    def test_a_living_owner_is_left_alone(self, tmp_path):
        """Two live processes have two files."""
        first, second = claim(tmp_path, IDENTITY, 60.0), claim(tmp_path, IDENTITY, 60.0)
        assert first.path != second.path

    def test_a_hint_is_tried_first_and_believed_in_nothing(self, tmp_path):
        """The file that a parent's last child used is taken at once; a hint that leads nowhere costs nothing."""
        first, second = claim(tmp_path, IDENTITY, 60.0), claim(tmp_path, IDENTITY, 60.0)
        first.abandon()
        second.abandon()
        for hint in (second.path.name, first.path.name):
            owned = claim(tmp_path, IDENTITY, 60.0, hint)
            assert owned.path.name == hint
            owned.abandon()
        for hint in ("../../etc/passwd.seg", "gone.seg", "\0.seg"[1:]):
            claim(tmp_path, IDENTITY, 60.0, hint).abandon()
        assert len(list(tmp_path.iterdir())) == 2

    @pytest.mark.parametrize(
        "damage",
        [
            lambda data: data[: len(data) // 2],
            lambda data: b"\0" * len(data),
            lambda data: os.urandom(len(data)),
            lambda data: data[: at.CELLS * 8] + b"\xff" * (len(data) - at.CELLS * 8),
        ],
        ids=["truncated", "zeros", "random", "nan"],
    )
    def test_a_damaged_file_is_passed_over(self, tmp_path, damage):
        """A file that is no whole segment is neither adopted nor touched."""
        owned = claim(tmp_path, IDENTITY, 60.0)
        owned.abandon()
        path = owned.path
        data = damage(path.read_bytes())
        path.write_bytes(data)
        assert claim(tmp_path, IDENTITY, 60.0).path != path
        assert path.read_bytes() == data


class TestBirth:
    """New files."""

    def test_a_new_file_is_whole_and_readable_by_the_sidecar(self, tmp_path):
        """Whatever the umask, another user may read it; every byte is allocated; no unborn file is left."""
        umask = os.umask(0o077)
        try:
            owned = claim(tmp_path, IDENTITY, 60.0)
        finally:
            os.umask(umask)
        status = owned.path.stat()
        assert stat.S_IMODE(status.st_mode) == 0o644
        assert status.st_size == at.SIZE
        assert status.st_blocks * 512 >= at.SIZE
        assert list(tmp_path.iterdir()) == [owned.path]

    def test_every_leak_kind_is_there_from_0(self, tmp_path):
        """increase() sees the first leak, because its series existed before."""
        snapshot = read(claim(tmp_path, IDENTITY, 60.0).path)
        assert [value(snapshot, m.LEAKS_TOTAL, kind) for kind in m.LEAK_KINDS] == [0.0] * 5

    def test_what_a_killed_maker_left_is_swept_later(self, tmp_path):
        """An unborn file is removed once nobody can be making it any more."""
        old, young = tmp_path / "old.new", tmp_path / "young.new"
        old.touch()
        young.touch()
        os.utime(old, (0, young.stat().st_mtime - UNBORN_SECONDS - 1))
        claim(tmp_path, IDENTITY, 60.0)
        assert not old.exists()
        assert young.exists()

    def test_a_directory_with_too_many_files_is_refused(self, tmp_path):
        """Files that nobody can adopt must not fill the memory behind the directory for ever."""
        for number in range(MAX_FILES):
            (tmp_path / f"{number}.seg").touch()
        with pytest.raises(ClaimError, match=f"{MAX_FILES} files.*empty it"):
            claim(tmp_path, IDENTITY, 60.0)

    def test_a_missing_directory_is_said_with_the_way_out(self, tmp_path):
        """The message names the directory and what to do."""
        with pytest.raises(ClaimError, match=r"gone: No such file or directory.*mount a writable emptyDir.*ULLAGE_DIR"):
            claim(tmp_path / "gone", IDENTITY, 60.0)

    def test_the_same_problem_is_said_in_the_same_words(self):
        """A directory in which no file can be made is one message, so that forked children need not repeat it."""
        # Nobody, not even root, makes a file there.
        place = Path("/proc/sys/kernel/keys")
        said = set()
        for _ in range(2):
            with pytest.raises(ClaimError) as refused:
                claim(place, IDENTITY, 60)
            said.add(str(refused.value))
        assert len(said) == 1


class TestLocks:
    """Liveness."""

    def test_life_begins_and_ends_with_the_lock(self, tmp_path):
        """A reader with a read-only descriptor sees the owner live, and dead once its descriptor is closed."""
        owned = claim(tmp_path, IDENTITY, 60.0)
        fd = os.open(owned.path, os.O_RDONLY)
        assert locks.is_held(fd, locks.LIVE)
        owned.abandon()
        assert not locks.is_held(fd, locks.LIVE)
        os.close(fd)

    def test_a_reused_descriptor_is_not_closed(self, tmp_path):
        """An application that closed descriptors by range and reused the number keeps its own file open."""
        owned = claim(tmp_path, IDENTITY, 60.0)
        number = owned._lock_fd
        os.close(number)
        other = os.open("/dev/null", os.O_RDONLY)
        if other != number:
            os.dup2(other, number)
            os.close(other)
        owned.abandon()
        os.fstat(number)
        os.close(number)
