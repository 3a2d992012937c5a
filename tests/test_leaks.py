"""Counting each leak exactly once, whoever is interrupted where. At every instruction: tests/promises."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

import pytest

from tests.test_segment import IDENTITY, read
from ullage import leaks
from ullage import metrics as m
from ullage.claim import Claim, claim
from ullage.metrics import LEAK_KINDS
from ullage.segment import UnreadableSegmentError
from ullage.segment import layout as at
from ullage.tally import Tally


@pytest.fixture
def owned(tmp_path: Path) -> Claim:
    """A new segment of this process."""
    return claim(tmp_path, IDENTITY, 60.0)


def check_out(owned: Claim, site: str = "app/db.py:7 get") -> int:
    """Open a slot as the pool probe does."""
    writer = owned.writer
    slot = writer.take_slot()
    writer.words[slot + leaks.ENGINE] = writer.intern("mysql://db/shop")
    writer.words[slot + leaks.CHAIN] = writer.intern(f"{site}\napp/web.py:1 view")
    writer.words[slot + leaks.WORK] = writer.intern("default\nimport_orders")
    writer.words[slot] = leaks.OPEN
    return slot


def served(owned: Claim) -> dict[str, float]:
    """Return the leaks by kind as a scrape would serve them, zeros left out."""
    samples = Tally([read(owned.path)], now=1e12).samples[m.LEAKS_TOTAL]
    return {kind: value for (_, kind), (value,) in samples.items() if value}


@pytest.mark.parametrize("kind", LEAK_KINDS[:4])
def test_a_leak_counts_once_under_its_kind(owned, kind):
    """Counting is idempotent, and the details carry engine, queue, function, site, kind and level."""
    slot = check_out(owned)
    for _ in range(3):
        owned.leaks.count(slot, kind)
    assert served(owned) == {kind: 1}
    details = Tally([read(owned.path)], 0.0).samples[m.UNRELEASED_TOTAL]
    labels = ("web", "mysql://db/shop", "default", "import_orders", "app/db.py:7 get", kind, "leaked")
    assert details == {labels: [1.0]}


@pytest.mark.parametrize("kind", LEAK_KINDS[:4])
def test_a_slot_is_free_once_it_is_counted_and_back(owned, kind):
    """A held connection keeps its slot until it returns; every slot comes back to the list once."""
    slot = check_out(owned)
    owned.leaks.count(slot, kind)
    if kind in leaks.HELD:
        assert owned.writer.words[slot] == leaks.COUNTED
        assert owned.writer.free_slots == []
        owned.leaks.returned(slot)
    assert owned.writer.words[slot] == leaks.FREE
    assert owned.writer.free_slots == [slot]


def test_a_connection_that_comes_back_while_it_is_counted_frees_its_slot_once(owned, monkeypatch):
    """Return and count meet in the middle: one leak, one free slot."""
    slot = check_out(owned)
    remember = owned.leaks._remember

    def returned_meanwhile(*args: object) -> None:
        owned.leaks.returned(slot)
        remember(*args)

    monkeypatch.setattr(owned.leaks, "_remember", returned_meanwhile)
    owned.leaks.count(slot, "held_at_job_end")
    assert served(owned) == {"held_at_job_end": 1}
    assert owned.writer.free_slots == [slot]


def test_a_leak_found_while_another_is_counted_waits_its_turn(owned, monkeypatch):
    """The garbage collector may find a leak inside the counting of another: both count, nothing deadlocks."""
    first, second = check_out(owned), check_out(owned)
    remember = owned.leaks._remember

    def collect_meanwhile(*args: object) -> None:
        monkeypatch.setattr(owned.leaks, "_remember", remember)
        owned.leaks.count(second, "reclaimed_by_gc")
        remember(*args)

    monkeypatch.setattr(owned.leaks, "_remember", collect_meanwhile)
    owned.leaks.count(first, "held_at_job_end")
    assert served(owned) == {"held_at_job_end": 1, "reclaimed_by_gc": 1}


@pytest.mark.parametrize("step", range(2, 60))
def test_an_exception_anywhere_in_counting_loses_and_doubles_nothing(owned, step):
    """A timeout raised at any line of the counting leaves the leak to the next, and it is served all along."""
    slot, lines = check_out(owned), iter(range(1, 10_000))

    class InterruptError(Exception):
        pass

    def trace(frame, event_name, _):
        if frame.f_code.co_filename == leaks.__file__ and event_name == "line" and next(lines) == step:
            raise InterruptError
        return trace

    sys.settrace(trace)
    try:
        owned.leaks.count(slot, "reclaimed_by_gc")
    except InterruptError:
        pass
    finally:
        sys.settrace(None)
    is_begun = owned.writer.words[slot] != leaks.OPEN
    assert served(owned) == ({"reclaimed_by_gc": 1} if is_begun else {})
    other = check_out(owned, "app/other.py:1 x")
    owned.leaks.count(other, "reclaimed_by_gc")
    assert served(owned) == {"reclaimed_by_gc": 1 + is_begun}
    owned.abandon()
    assert served(claim(owned.path.parent, IDENTITY, 60.0)).get("reclaimed_by_gc") == 1 + is_begun


def test_threads_that_find_leaks_at_once_lose_none(owned):
    """Eight threads count 25 leaks each."""
    slots = [[check_out(owned) for _ in range(25)] for _ in range(8)]
    threads = [
        threading.Thread(target=lambda mine=mine: [owned.leaks.count(slot, "over_threshold") for slot in mine])
        for mine in slots
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert served(owned) == {"over_threshold": 200}
    assert sorted(owned.writer.free_slots) == sorted(slot for mine in slots for slot in mine)


class TestDeath:
    """What a dead process had checked out."""

    def test_it_is_served_before_and_after_the_next_adoption_alike(self, tmp_path, owned):
        """died_with_process is seen as soon as the lock is free, and counted into the segment by the adopter."""
        for _ in range(3):
            check_out(owned)
        assert served(owned) == {}
        owned.abandon()
        assert served(owned) == {"died_with_process": 3}
        adopter = claim(tmp_path, IDENTITY, 60.0)
        assert served(adopter) == {"died_with_process": 3}
        assert len(adopter.writer.free_slots) == 3

    def test_a_leak_counted_before_is_not_counted_again(self, tmp_path, owned):
        """Held at the end of its job and then lost with its process: one leak, of the first kind."""
        owned.leaks.count(check_out(owned), "held_at_job_end")
        owned.abandon()
        assert served(claim(tmp_path, IDENTITY, 60.0)) == {"held_at_job_end": 1}

    def test_a_leak_that_was_still_to_be_counted_keeps_its_kind(self, tmp_path, owned):
        """Killed between finding and counting: the adopter counts it as what it was found to be."""
        slot = check_out(owned)
        owned.writer.words[slot] = leaks.PENDING + leaks.KIND_INDEX["held_at_request_end"]
        assert served(owned) == {"held_at_request_end": 1}
        owned.abandon()
        assert served(claim(tmp_path, IDENTITY, 60.0)) == {"held_at_request_end": 1}


def test_a_journal_that_points_nowhere_is_garbage(owned):
    """A damaged journal is a reason not to read the segment, and never a write to another place."""
    owned.writer.words[at.JOURNAL_SLOT] = 0.0
    owned.writer.words[at.JOURNAL_SEQUENCE] += 1.0
    with pytest.raises(UnreadableSegmentError, match="journal"):
        leaks.journal(read(owned.path).header)


def test_the_ring_keeps_the_last_leaks(owned):
    """The newest leaks are kept with time, job and frames, and the ring does not grow."""
    from ullage.outstanding import last_leaks

    for number in range(at.LEAK_COUNT + 5):
        slot = check_out(owned, f"app/tasks.py:{number} job")
        owned.leaks.count(slot, "over_threshold", job_id=f"job-{number}")
    entries = list(last_leaks(read(owned.path)))
    assert len(entries) == at.LEAK_COUNT
    assert {entry["job_id"] for entry in entries} == {f"job-{n}" for n in range(5, at.LEAK_COUNT + 5)}
    assert entries[0]["frames"][1] == "app/web.py:1 view"
