"""Segments to the /metrics page."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from tests.test_leaks import check_out
from tests.test_segment import IDENTITY
from ullage import leaks
from ullage import metrics as m
from ullage.claim import Claim, claim
from ullage.collector import Collector, Reading
from ullage.segment import Identity, read_segment
from ullage.segment import layout as at
from ullage.tally import Tally

ENGINE = "mysql://db/shop"


def page(directory: Path, now: float = 100.0) -> str:
    """Return the /metrics page, without what differs from run to run."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Collector(directory, clock=lambda: now))
    lines = generate_latest(registry).decode().splitlines()
    varying = ("ullage_collector_duration_seconds{", "ullage_build_info{")
    return "\n".join(line for line in lines if not line.startswith(varying)) + "\n"


def fill(owned: Claim, factor: float) -> None:
    """Write one series of each kind, and checkouts in each state."""
    writer, words = owned.writer, owned.writer.words
    words[writer.counter(m.POOL_CHECKOUTS, ENGINE)] += 10 * factor
    first = writer.counter(m.POOL_WAIT, ENGINE)
    words[first] += 3 * factor
    words[first + 4] += 2 * factor
    words[first + m.POOL_WAIT.width - 1] += 0.025 * factor
    words[writer.gauge(m.POOLS, ENGINE)] = 1.0
    words[writer.gauge(m.POOL_CONNECTIONS, ENGINE, "used")] = 2.0 * factor
    words[writer.gauge(m.POOL_CONNECTIONS_PEAK, ENGINE)] = 5.0 * factor
    words[writer.gauge(m.PROBE_UP, "pool")] = 1.0
    for started, state in ((99.0, leaks.OPEN), (10.0, leaks.OPEN), (98.0, leaks.WAITING)):
        slot = check_out(owned)
        words[slot + leaks.STARTED] = started
        words[slot] = state
    owned.leaks.count(check_out(owned), "held_at_request_end")


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Two live web processes, a dead one, and a live worker."""
    processes = [claim(tmp_path, IDENTITY, 60.0) for _ in range(3)]
    processes.append(claim(tmp_path, Identity("worker", "", os.geteuid()), 60.0))
    for factor, owned in enumerate(processes, 1):
        fill(owned, factor)
    processes[1].abandon()
    (tmp_path / "notes.txt").write_text("not mine")
    (tmp_path / "empty.seg").touch()
    (tmp_path / "dir.seg").mkdir()
    return tmp_path


def test_the_whole_page_is_as_agreed(directory, request):
    """The page is the golden one, line for line; `pytest --update-golden` writes it anew."""
    golden = Path(__file__).parent / "golden" / "metrics.txt"
    found = page(directory)
    if request.config.getoption("--update-golden"):
        golden.parent.mkdir(exist_ok=True)
        golden.write_text(found)
    assert found == golden.read_text()


def test_promtool_finds_nothing_to_object_to(directory, promtool):
    """Names, units, help texts and the format pass Prometheus' own linter."""
    checked = subprocess.run(
        [promtool, "check", "metrics"], input=page(directory), text=True, capture_output=True, check=False
    )
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")


def test_the_table_is_documented():
    """docs/metrics.md is what `make docs` writes from metrics.py."""
    assert (Path(__file__).parents[1] / "docs" / "metrics.md").read_text() == m.markdown()


def test_a_missing_directory_is_a_scrape_that_says_so(tmp_path):
    """Without its directory the exporter answers, with ullage_up 0."""
    assert "\nullage_up 0.0\n" in page(tmp_path / "gone")


def test_unreadable_files_are_named_and_the_rest_is_served(directory):
    """A fifo, a directory, an empty and a foreign file cost one series each, and no more."""
    os.mkfifo(directory / "fifo.seg")
    (directory / "link.seg").symlink_to("/etc/passwd")
    text = page(directory)
    for reason, count in {"foreign": 1, "too_short": 1, "no_access": 3}.items():
        assert f'ullage_unreadable_segments{{reason="{reason}"}} {count}.0' in text
    assert f'sqlalchemy_pool_checkouts_total{{engine="{ENGINE}",role="worker"}} 40.0' in text


def test_a_role_without_a_live_process_has_probes_down(tmp_path):
    """When the last process is gone, ullage_probe_up is 0 rather than missing."""
    owned = claim(tmp_path, IDENTITY, 60.0)
    fill(owned, 1)
    owned.abandon()
    assert 'ullage_probe_up{probe="pool",role="web"} 0.0' in page(tmp_path)


def test_leaks_are_listed_newest_first(directory):
    """The dead process's uncounted leaks come first, then the ring's, each with its frames."""
    found = Collector(directory).leaks()
    assert [leak["kind"] for leak in found] == ["died_with_process"] * 2 + ["held_at_request_end"] * 4
    assert found[0]["time"] is None
    assert found[-1]["frames"] == ["app/db.py:7 get", "app/web.py:1 view"]


def test_the_overview_counts_what_there_is(directory):
    """The landing page's numbers: segments, unreadable files by reason, probes by role."""
    overview = Collector(directory).overview()
    assert (overview.segments_live, overview.segments_free) == (3, 1)
    assert overview.probes == {"web": {"pool": 2}, "worker": {"pool": 1}}


def test_the_dump_prints_a_segment_for_people(directory, capsys):
    """`ullage dump` shows every series with its labels, what is out, and says which files are none."""
    from ullage.dump import run

    assert run([directory]) == 1
    shown = capsys.readouterr()
    assert f'sqlalchemy_pool_checkouts_total{{engine="{ENGINE}"}} 10' in shown.out
    assert "checkout: out, unreleased" in shown.out
    assert "empty.seg: too_short" in shown.err
    assert run([directory / "gone"]) == 1


@pytest.mark.parametrize("order", [1, -1], ids=["one-way", "the-other"])
def test_seconds_are_added_up_exactly(tmp_path, order):
    """The order in which a directory lists its files cannot make a sum fall by its last bit."""
    snapshots = []
    for seconds in (0.1, 0.2, 0.3, 1e-9, 1e6)[::order]:
        owned = claim(tmp_path, IDENTITY, 60.0)
        first = owned.writer.counter(m.POOL_USE, ENGINE)
        owned.writer.words[first + m.POOL_USE.width - 1] += seconds
        fd = os.open(owned.path, os.O_RDONLY)
        snapshots.append(read_segment(fd))
        os.close(fd)
    ((*_, total),) = Tally(snapshots, 0.0).samples[m.POOL_USE].values()
    assert total == 1000000.600000001


def test_a_cell_that_no_series_names_is_counted_nowhere(tmp_path):
    """What a killed writer had taken and not yet announced adds to no other series."""
    first, second = claim(tmp_path, IDENTITY, 60.0), claim(tmp_path, IDENTITY, 60.0)
    for engine in ("a", "b"):
        first.writer.words[first.writer.counter(m.POOL_CHECKOUTS, engine)] += 1.0
    second.writer.words[second.writer.counter(m.POOL_CHECKOUTS, "a")] += 1.0
    used = int(second.writer.words[at.CELLS_USED])
    second.writer.words[at.CELLS + used] = 7.0
    second.writer.words[at.CELLS_USED] = used + 1.0
    samples = Tally([*Reading(tmp_path)], 0.0).samples[m.POOL_CHECKOUTS]
    assert samples == {("web", "a"): [2.0], ("web", "b"): [1.0]}
