from __future__ import annotations

import contextlib
import os
import subprocess
import threading
from collections import Counter

import pytest

from tests.promises.corruptor import Corruptor
from tests.promises.readings import Page
from tests.promises.web import Sidecar, Web, ask
from ullage.claim import claim
from ullage.metrics import POOL_CHECKOUTS
from ullage.segment import Identity
from ullage.segment.layout import SIZE

pytestmark = [pytest.mark.promise, pytest.mark.timeout(1800)]

WORKERS, THREADS = 2, 4
FREE_SEGMENTS = 6


@pytest.fixture
def volume(segments):
    """Give a segment directory that is a volume of its own, with room for some segments."""
    options = f"size={8 * SIZE},mode=0755"
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(segments)]
    mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    if mounted.returncode:
        reason = f"no tmpfs could be mounted ({mounted.stderr.strip()}); run as root"
        pytest.fail(reason) if os.environ.get("CI") == "true" else pytest.skip(reason)
    yield segments
    subprocess.run(["umount", "--lazy", str(segments)], check=True)


def fill(volume):
    """Take all the space that is left on a volume, and return the file that has it."""
    ballast = volume / "ballast"
    with ballast.open("wb") as file, contextlib.suppress(OSError):
        while True:
            os.write(file.fileno(), bytes(4096))
    return ballast


def test_a_full_volume_costs_the_numbers_and_no_answer(mariadb_database, volume, tmp_path, size):
    """With the segment volume full every request is answered, and when space returns a new worker counts again."""
    requests = size(1_000, 200)
    ballast = fill(volume)
    with Web(tmp_path, volume, mariadb_database, WORKERS, THREADS) as web:
        while_full = ask(web.port, "/work/2", requests)
        page_full = Page.read(volume)
        ballast.unlink()
        web.reload()
        while_free = ask(web.port, "/work/2", requests)
        page_free = Page.read(volume)
        fill(volume)
        web.replace_killed()  # with the space that the killed ones held
        while_full_again = ask(web.port, "/work/2", requests)
        page_full_again = Page.read(volume)
        log = web.log
    served = [page.total("flask_requests_total", status="200") for page in (page_full, page_free, page_full_again)]
    print(
        f"\npromise full-volume: {requests:,} requests each: full {dict(while_full)}, {served[0]:,.0f} counted; "
        f"space back {dict(while_free)}, {served[1]:,.0f} counted; full again {dict(while_full_again)}, "
        f"{served[2]:,.0f} counted"
    )
    assert while_full == while_free == while_full_again == {200: requests}
    assert served == [0, requests, 2 * requests]
    assert page_full.total("ullage_segments") == 0
    assert page_free.total("ullage_segments", state="live") == WORKERS
    assert log.count("ullage is off") == WORKERS
    assert log.count("No space left on device") == WORKERS


def leave_segments(directory, number):
    """Leave segments that nobody holds and any worker may adopt, and return the bytes of one."""
    claims = [claim(directory, Identity("web", "", os.geteuid()), 60.0) for _ in range(number)]
    for each in claims:
        index = each.writer.counter(POOL_CHECKOUTS, "mysql://before")
        each.writer.words[index] += 1.0
        each.abandon()
    return claims[0].path.read_bytes()


@contextlib.contextmanager
def asking(port, requests):
    """Ask all the time until the end of the `with` block, and so many times at least; gives the statuses."""
    statuses, is_over = Counter(), threading.Event()

    def ask_on():
        while not is_over.is_set() or statuses.total() < requests:
            statuses.update(ask(port, "/work/2", 50))

    asker = threading.Thread(target=ask_on)
    asker.start()
    try:
        yield statuses
    finally:
        is_over.set()
        asker.join()


def test_damaged_files_end_no_process(mariadb_database, segments, tmp_path, size):
    """While files that nobody holds are damaged a hundred times a second and workers replaced, all is answered."""
    requests, reloads = size(1_000, 200), size(10, 3)
    with (
        Web(tmp_path, segments, mariadb_database, WORKERS, THREADS) as web,
        Sidecar(tmp_path, segments) as sidecar,
        Corruptor(segments, leave_segments(segments, FREE_SEGMENTS), seed=requests) as corruptor,
        sidecar.watched() as watch,
    ):
        with asking(web.port, requests) as statuses:
            for _ in range(reloads):
                web.reload()
        assert web.process.poll() is None
        log = web.log
    print(
        f"\npromise damage: {corruptor.damaged:,} files damaged, {corruptor.rate:.0f} a second, {reloads} reloads, "
        f"requests {dict(statuses)}; {watch.seen} scrapes, {sidecar.failed} failed"
    )
    assert set(statuses) == {200}
    assert statuses[200] >= requests
    assert corruptor.damaged >= 100
    assert sidecar.failed == 0
    # Gunicorn logs each start, and each end that it did not ask for.
    assert log.count("Booting worker") == WORKERS * (reloads + 1)
    assert "was sent SIG" not in log
    assert "Traceback" not in log


def test_no_damage_stops_a_scrape_or_lowers_an_intact_counter(scenario, segments, size):
    """A hundred thousand random corruptions raise nothing, hang nothing and change no counter of an intact segment."""
    found = scenario("corruptions", directory=segments, corruptions=size(100_000, 10_000), seed=size(1, 2))
    reasons = ", ".join(f"{reason} {count:,}" for reason, count in sorted(found["reasons"].items()))
    print(
        f"\npromise corruptions: {found['corruptions']:,} damaged files read, {found['claims']:,} times claimed too, "
        f"{len(found['wrong'])} wrong; slowest reading {found['slowest_seconds'] * 1e3:.1f} ms\n  unreadable: {reasons}"
    )
    assert found["wrong"] == []
    assert found["slowest_seconds"] < 1
