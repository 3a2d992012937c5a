"""The bytes: what a writer stores a reader finds, and what is no segment is named."""

from __future__ import annotations

import math
import os
import struct
from pathlib import Path

import pytest

from ullage import metrics as m
from ullage.claim import Claim, claim
from ullage.segment import Identity, SegmentWriter, Snapshot, UnreadableSegmentError, read_segment
from ullage.segment import layout as at

IDENTITY = Identity("web", "app", os.geteuid())


@pytest.fixture
def owned(tmp_path: Path) -> Claim:
    """A new segment of this process."""
    return claim(tmp_path, IDENTITY, 60.0)


def read(path: Path) -> Snapshot:
    """Read a segment by path."""
    fd = os.open(path, os.O_RDONLY)
    try:
        return read_segment(fd)
    finally:
        os.close(fd)


def value(snapshot: Snapshot, metric: m.Metric, *labels: str) -> float:
    """Return a series' first cell."""
    (series,) = [s for s in snapshot.series if (s.metric.name, s.labels) == (metric.name, labels)]
    section, start = (snapshot.gauges, at.GAUGES) if metric.kind == "gauge" else (snapshot.cells, at.CELLS)
    return section[series.cell - start]


class TestRoundTrip:
    """What is written is read."""

    def test_a_series_explains_itself(self, owned):
        """Name, kind, labels, aggregation and buckets come from the file, not from the reader's table."""
        owned.writer.counter(m.POOL_WAIT, "mysql://db/shop")
        owned.writer.gauge(m.POOL_SETTING, "mysql://db/shop", "size")
        by_name = {series.metric.name: series for series in read(owned.path).series}
        assert by_name[m.POOL_WAIT.name].metric == m.POOL_WAIT
        assert by_name[m.POOL_WAIT.name].labels == ("mysql://db/shop",)
        assert by_name[m.POOL_SETTING.name].metric == m.POOL_SETTING

    def test_a_metric_that_the_reader_does_not_know_is_still_read(self, owned):
        """A newer probe's metric is served by an older exporter."""
        unknown = m.Metric("future_things_total", "counter", "Things.", ("thing",))
        owned.writer.words[owned.writer.counter(unknown, "x")] += 7.0
        assert value(read(owned.path), unknown, "x") == 7

    def test_gauges_have_no_value_until_one_is_stored(self, owned):
        """A gauge that was taken or given back reads as NaN, never as an old number."""
        index = owned.writer.gauge(m.POOLS, "a")
        assert math.isnan(value(read(owned.path), m.POOLS, "a"))
        owned.writer.words[index] = 1.0
        owned.writer.release_gauge(m.POOLS, ("a",), index)
        assert math.isnan(value(read(owned.path), m.POOLS, "a"))
        assert owned.writer.gauge(m.POOLS, "a") == index

    @pytest.mark.parametrize(
        "text", ["", "ünï", "x" * 5000, "\ud800", "a\0b"], ids=["none", "utf8", "long", "bad", "nul"]
    )
    def test_any_label_can_be_stored(self, owned, text):
        """Label values of any length and content neither fail nor spoil their neighbours."""
        owned.writer.counter(m.POOL_CHECKOUTS, text)
        owned.writer.words[owned.writer.counter(m.POOL_CHECKOUTS, "next")] += 2.0
        snapshot = read(owned.path)
        assert value(snapshot, m.POOL_CHECKOUTS, "next") == 2
        stored = text.encode("utf-8", "replace")[: at.MAX_STRING_BYTES].decode("utf-8", "replace")
        assert value(snapshot, m.POOL_CHECKOUTS, stored) == 0

    def test_a_dead_writers_gauges_are_not_read(self, owned):
        """A level is true only while its process lives."""
        owned.writer.words[owned.writer.gauge(m.POOLS, "a")] = 1.0
        assert read(owned.path).is_live
        owned.abandon()
        assert not read(owned.path).is_live
        assert len(read(owned.path).gauges) == 0


class TestFullTables:
    """Nothing grows; what does not fit is said."""

    def test_what_does_not_fit_goes_to_other(self, owned):
        """A flood of label values ends in one series labelled other, and each observation is counted as dropped."""
        for number in range(at.SERIES_ROWS + 100):
            owned.writer.words[owned.writer.counter(m.POOL_CHECKOUTS, f"engine {number}")] += 1.0
        snapshot = read(owned.path)
        kept = [s for s in snapshot.series if s.metric is m.POOL_CHECKOUTS or s.metric == m.POOL_CHECKOUTS]
        total = sum(snapshot.cells[s.cell - at.CELLS] for s in kept)
        assert total == at.SERIES_ROWS + 100
        assert value(snapshot, m.POOL_CHECKOUTS, at.OTHER) == snapshot.header[at.DROPPED_SERIES] > 100

    def test_a_leak_still_has_a_row_after_a_flood(self, owned):
        """Rows, cells and strings are kept back for leak series."""
        for number in range(at.SERIES_ROWS + 100):
            owned.writer.counter(m.REQUESTS, "GET", f"/{number}" * 20, "200")
        labels = ("mysql://db/shop", "", "job", "app/tasks.py:3 job", "reclaimed_by_gc", "leaked")
        owned.writer.words[owned.writer.counter(m.UNRELEASED_TOTAL, *labels)] += 1.0
        assert value(read(owned.path), m.UNRELEASED_TOTAL, *labels) == 1

    def test_gauges_that_do_not_fit_are_not_written_anywhere_else(self, owned):
        """A pool too many gets no gauge, and the others' stay right."""
        first = owned.writer.gauge(m.POOLS, "a")
        owned.writer.words[first] = 1.0
        for _ in range(at.GAUGE_WORDS + 10):
            owned.writer.words[owned.writer.gauge(m.POOLS, "b")] = 5.0
        assert value(read(owned.path), m.POOLS, "a") == 1


def damage(path: Path, offset: int, data: bytes) -> None:
    """Overwrite bytes of a file."""
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(data)


class TestUnreadable:
    """Each way not to be a segment has a name."""

    @pytest.mark.parametrize(
        ("offset", "data", "reason"),
        [
            pytest.param(0, b"#!/bin/s", "bad_magic", id="magic"),
            pytest.param(8, struct.pack("=I", at.VERSION + 1), "unknown_version", id="version"),
            pytest.param(12, struct.pack("=I", 0x04030201), "byte_order", id="byte-order"),
            pytest.param(16, b"x" * 16, "unknown_layout", id="layout"),
            pytest.param(at.CELLS_USED * 8, struct.pack("=d", math.nan), "garbage", id="count-nan"),
            pytest.param(at.SERIES_USED * 8, struct.pack("=d", 1e300), "garbage", id="count-huge"),
            pytest.param(at.SLOTS_USED * 8, struct.pack("=d", -1), "garbage", id="count-negative"),
            pytest.param(at.CELLS * 8, struct.pack("=d", math.nan), "garbage", id="counter-nan"),
            pytest.param(at.CELLS * 8, struct.pack("=d", -5), "garbage", id="counter-negative"),
        ],
    )
    def test_damage_is_named(self, owned, offset, data, reason):
        """Foreign, future and damaged files raise the one documented error, with the reason that labels it."""
        damage(owned.path, offset, data)
        with pytest.raises(UnreadableSegmentError) as caught:
            read(owned.path)
        assert caught.value.reason == reason

    @pytest.mark.parametrize("size", [0, 7, at.HEADER_BYTES - 1, at.HEADER_BYTES, at.SIZE // 2])
    def test_a_truncated_file_is_too_short(self, owned, size, tmp_path):
        """A file that ends too early is named, wherever it ends before what it announces."""
        owned.writer.counter(m.POOL_CHECKOUTS, "a")
        copy = tmp_path / "copy.seg"
        copy.write_bytes(owned.path.read_bytes()[:size])
        if size < at.CELLS * 8:
            with pytest.raises(UnreadableSegmentError) as caught:
                read(copy)
            assert caught.value.reason == "too_short"
        else:
            assert read(copy).series

    def test_a_series_row_that_points_nowhere_is_left_out(self, owned):
        """One bad row loses one series."""
        owned.writer.words[owned.writer.counter(m.POOL_CHECKOUTS, "a")] += 3.0
        row = at.SERIES + int(owned.writer.words[at.SERIES_USED] - 1) * at.ROW_WORDS
        owned.writer.counter(m.POOL_CHECKOUTS, "b")
        owned.writer.words[row + 1] = 1e9
        names = {(s.metric.name, s.labels) for s in read(owned.path).series}
        assert (m.POOL_CHECKOUTS.name, ("a",)) not in names
        assert (m.POOL_CHECKOUTS.name, ("b",)) in names


def test_a_writer_without_a_file_takes_everything_and_tells_nobody():
    """Off is the same code on memory of its own."""
    writer = SegmentWriter(-1)
    writer.words[writer.counter(m.POOL_CHECKOUTS, "a")] += 1.0
    assert writer.words[writer.counter(m.POOL_CHECKOUTS, "a")] == 1
