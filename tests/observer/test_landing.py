"""The observer's pages over HTTP."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import httpx
import pytest

from tests.observer.test_collector import Changing
from ullage.observer.budget import Budget
from ullage.observer.collector import Observer
from ullage.observer.landing import ObserverPages
from ullage.server import OpenAccess, Server


@pytest.fixture
def source() -> Changing:
    """Give a source."""
    return Changing()


@pytest.fixture
def url(source: Changing) -> Iterator[str]:
    """Give the URL of an observer."""
    budget = Budget({"web": 30}, 100)
    pages = ObserverPages(Observer([budget, source]), budget, ["redis://redis:6379/0"])
    server = Server("127.0.0.1", 0, pages, OpenAccess())
    thread = threading.Thread(target=server.run)
    thread.start()
    yield server.url
    server.stop()
    thread.join()


class TestLanding:
    def test_what_it_is(self, url: str, source: Changing) -> None:
        """The landing page says that this is the observer, what it reads and whether it can."""
        source.error = "<gone>"
        page = httpx.get(url).text
        assert "<p>The observer: " in page
        assert "<tr><th>budget</th><td>ok</td></tr><tr><th>events</th><td>&lt;gone&gt;</td></tr>" in page
        assert "<tr><th>web</th><td>30</td></tr><tr><th>the database accepts</th><td>100</td></tr>" in page

    def test_links(self, url: str) -> None:
        """Every link leads somewhere, and there are no leaks here: those are the sidecars'."""
        page = httpx.get(url).text
        for path in ("metrics", "healthz"):
            assert f'<a href="/{path}">' in page
            assert httpx.get(url + path).status_code == 200
        assert httpx.get(url + "leaks").text == "404 no such page; there are / /metrics /healthz\n"
