"""The shop open for business: real servers, the application, its exporters, and Prometheus with the alerts."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from tests.demo.stack import make_directory, remove_directory
from tests.monitoring.dashboards import Json, Window, expand
from tests.monitoring.shop import Scraper, Shop
from tests.monitoring.trouble import Trouble
from tests.servers import MariaDB, Redis, free_port


@dataclass(frozen=True)
class Watch:
    """A running shop, what can go wrong in it, and the Prometheus that has watched it since `start`."""

    shop: Shop
    trouble: Trouble
    prometheus: Scraper
    start: float

    def window(self, step: int = 1) -> Window:
        """Return the time range since the start."""
        return Window(self.start, time.time(), step)

    def answer(self, dashboard: Json, target: Json, window: Window) -> list[Json]:
        """Return the series that answer a panel's query: `metric`, and `values` or one `value`."""
        query = expand(target["expr"], dashboard, window)
        if target.get("instant"):
            data = self.prometheus.ask("query", query=query, time=window.end)
        else:
            data = self._ask_range(query, window)
        series: list[Json] = data["result"]
        return series

    def marks(self, dashboard: Json, annotation: Json, window: Window) -> list[Json]:
        """Return the series of an annotation."""
        series: list[Json] = self._ask_range(expand(annotation["expr"], dashboard, window), window)["result"]
        return series

    def _ask_range(self, query: str, window: Window) -> Any:
        # Whole steps, as Grafana asks.
        start, end = (int(moment) // window.step * window.step for moment in (window.start, window.end))
        return self.prometheus.ask("query_range", query=query, start=start, end=end, step=window.step)


@contextmanager
def open_shop() -> Iterator[Watch]:
    """Start everything, and leave nothing behind."""
    with ExitStack() as owner:
        server = owner.enter_context(MariaDB())
        redis = owner.enter_context(Redis())
        directory = make_directory()
        owner.callback(remove_directory, directory)
        (directory / "worker-segments").mkdir()
        shop = Shop(directory, redis.url, server.url(), free_port(), free_port())
        shop.migrate()
        shop.start(owner)
        scraper = owner.enter_context(Scraper(shop.pods))
        trouble = Trouble(shop, server)
        owner.callback(trouble.client.close)
        yield Watch(shop, trouble, scraper, time.time())
