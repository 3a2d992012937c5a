"""What goes wrong in the shop while Prometheus watches: each lesson's mistake once, under traffic."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx

from tests.demo.traffic import Traffic
from tests.monitoring.shop import Shop, kill_while_used
from tests.servers import MariaDB, wait_for

USER = "203.0.113.9"
CLIENTS = 8
# Two processes with five connections each, and some more that find none.
LEAKS = 14
PAUSE_SECONDS = 0.05
READS = ("/orders?limit=5", "/orders/1", "/reports/revenue", "/orders?limit=50", "/livez", "/nowhere")


class Trouble:
    """Faults, one method each; `everything` has them in an order in which each finds what it needs."""

    def __init__(self, shop: Shop, server: MariaDB) -> None:
        self.shop = shop
        self.server = server
        self.client = httpx.Client(base_url=shop.web_url, timeout=30, trust_env=False, headers=_through(USER))

    @property
    def everything(self) -> list[Callable[[], None]]:
        """The faults in order."""
        return [
            self.orders,
            self.jobs,
            self.stale_connections,
            self.other_proxies,
            self.slow_queries,
            self.exhausted_pools,
            self.killed_web_process,
            self.refused_connections,
            self.damaged_segment,
            # Of a series that is born with its first event, a rate begins with the second.
            self.jobs,
        ]

    def orders(self) -> None:
        """No fault: orders, lists, reports, and a CSV file that a worker imports."""
        traffic = Traffic(self.shop.web_url)
        traffic.client.headers.update(_through(USER))
        with traffic.client:
            traffic.work(orders=16)
            traffic.import_csv()

    def jobs(self) -> None:
        """Jobs that leak, build the application (and fail), and kill their work horse; one for tomorrow."""
        for name in ("leak", "crash", "leak"):
            self._fault(f"jobs/{name}")
        self.shop.enqueue("app.web.create_app")

    def stale_connections(self) -> None:
        """Kill idle connections, which pre-ping replaces; then some under a statement, which the user sees."""
        self.server.kill_connections()
        self._read(10)
        with ThreadPoolExecutor(2) as clients:
            slow = [clients.submit(self._fault, "slow-query?seconds=3") for _ in range(2)]
            wait_for(self._is_sleeping, what="a slow query")
            kill_while_used(self.server)
            for query in slow:
                query.result()

    def other_proxies(self) -> None:
        """Come around the proxy, and through two."""
        for headers in ({"X-Forwarded-For": ""}, _through(f"{USER}, 10.0.0.7")):
            for _ in range(4):
                self.client.get("/orders?limit=1", headers=headers)

    def slow_queries(self) -> None:
        """Hold a connection beyond the threshold, in a job and in a request."""
        self._fault("jobs/slow-query?seconds=3")
        self._fault("slow-query?seconds=1.5")

    def exhausted_pools(self) -> None:
        """Leak until the pools of both processes are empty and others wait; then release."""
        with ThreadPoolExecutor(CLIENTS) as clients:
            list(clients.map(self._fault, ["leak"] * LEAKS))
        for _ in range(LEAKS):
            self._release()

    def killed_web_process(self) -> None:
        """Kill web processes that have a connection out."""
        for name in ("leak", "leak", "leak", "leak", "crash"):
            self._fault(name)
        for _ in range(LEAKS):
            self._release()

    def refused_connections(self) -> None:
        """Lock the application's account for a moment."""
        account = f"'{self.server.application_user}'@'127.0.0.1'"
        self.server.execute(f"ALTER USER {account} ACCOUNT LOCK")
        try:
            self.server.kill_connections()
            self._read(4)
        finally:
            self.server.execute(f"ALTER USER {account} ACCOUNT UNLOCK")
        self._read(4)

    def damaged_segment(self) -> None:
        """Leave a file in the segment directory that is none."""
        (self.shop.segments / "damaged.seg").write_bytes(b"no segment")

    @contextlib.contextmanager
    def traffic(self, clients: int = 2) -> Iterator[None]:
        """Read pages without end, from several clients."""
        over = threading.Event()

        def read(first: int) -> None:
            number = first
            while not over.wait(PAUSE_SECONDS):
                number += 1
                with contextlib.suppress(httpx.TransportError):
                    self.client.get(READS[number % len(READS)])

        with ThreadPoolExecutor(clients) as readers:
            reading = [readers.submit(read, number) for number in range(clients)]
            try:
                yield
            finally:
                over.set()
            for reader in reading:
                reader.result()

    def _read(self, requests: int) -> None:
        for number in range(requests):
            with contextlib.suppress(httpx.TransportError):
                self.client.get(READS[number % len(READS)])

    def _fault(self, name: str) -> None:
        # A process that kills itself does not answer.
        with contextlib.suppress(httpx.TransportError):
            self.client.post(f"/faults/{name}")

    def _release(self) -> None:
        # Nor does one that is killed by another request; what it leaked is gone with it.
        with contextlib.suppress(httpx.TransportError):
            self.client.delete("/faults/leak")

    def _is_sleeping(self) -> bool:
        rows = self.server.execute("SELECT 1 FROM information_schema.processlist WHERE info LIKE 'SELECT sleep%'")
        return bool(rows)


def _through(addresses: str) -> dict[str, str]:
    return {"X-Forwarded-For": addresses}
