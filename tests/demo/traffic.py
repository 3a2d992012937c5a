"""The demo's client: requests to the application, and the numbers that the sidecar shows for them."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import httpx
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from tests.servers import wait_for

CLIENTS = 8
CUSTOMERS = ("Ada", "Blaise", "Charles", "Grace")
ITEMS = (("flask-500", "12.50"), ("funnel", "3.20"), ("stopper", "0.95"))
CSV_ORDERS = 50


@dataclass
class Traffic:
    """A client of the application that counts what it was answered."""

    web_url: str
    # A list, because appending to it needs no lock between the clients.
    answers: list[str] = field(default_factory=list)
    # A connection for each request: so that all of gunicorn's processes get some.
    client: httpx.Client = field(
        default_factory=lambda: httpx.Client(
            timeout=30, trust_env=False, limits=httpx.Limits(max_keepalive_connections=0)
        )
    )

    def work(self, orders: int = 80) -> None:
        """Create orders from several clients at once, and read lists, orders and the report."""
        self._at_once([self._create_order] * orders)
        self._at_once([lambda: self.send("GET", "/orders?limit=20")] * orders)
        self._at_once([lambda: self.send("GET", "/orders/1")] * orders)
        self._at_once([lambda: self.send("GET", "/reports/revenue")] * (orders // 4))

    def read(self, requests: int = 40) -> None:
        """Read lists from several clients at once, and return when all are answered."""
        self._at_once([lambda: self.send("GET", "/orders?limit=5")] * requests)

    def import_csv(self) -> str:
        """Send a CSV file, wait until a worker has imported it, and return the import's last status."""
        answer = self.send("POST", "/imports", content=_csv(), headers={"Content-Type": "text/csv"})
        url = answer.json()["url"]
        over = {"finished", "rejected", "failed"}

        def status() -> str:
            now = str(self.send("GET", url).json()["status"])
            return now if now in over else ""

        return wait_for(status, timeout=30, what="the end of the CSV import")

    def send(self, method: str, path: str, **arguments: Any) -> httpx.Response:
        """Send one request and count its status."""
        try:
            answer = self.client.request(method, self.web_url + path, **arguments)
        except httpx.TransportError as error:
            self.answers.append(type(error).__name__)
            raise
        self.answers.append(str(answer.status_code))
        return answer

    @property
    def statuses(self) -> Counter[str]:
        """The number of answers by status, or by error where there was none."""
        return Counter(self.answers)

    @property
    def failed(self) -> dict[str, int]:
        """The answers that were no success, by status or error."""
        return {status: count for status, count in self.statuses.items() if not status.startswith("2")}

    def _create_order(self) -> None:
        sku, price = random.choice(ITEMS)
        line = {"sku": sku, "quantity": random.randint(1, 5), "unit_price": price}
        self.send("POST", "/orders", json={"customer": random.choice(CUSTOMERS), "lines": [line]})

    def _at_once(self, requests: list[Callable[[], object]]) -> None:
        with ThreadPoolExecutor(CLIENTS) as clients:
            for done in [clients.submit(request) for request in requests]:
                done.result()


@dataclass(frozen=True)
class Metrics:
    """One scrape of the sidecar."""

    text: str

    @classmethod
    def scrape(cls, metrics_url: str) -> Metrics:
        """Ask the sidecar."""
        return cls(httpx.get(f"{metrics_url}/metrics", trust_env=False).raise_for_status().text)

    def total(self, name: str, **labels: str) -> float:
        """Return the sum of the samples of that name whose labels are as given."""
        return sum(sample.value for sample in self._samples(name) if labels.items() <= sample.labels.items())

    def requests(self, without_route: str) -> dict[str, int]:
        """Return the number of requests by status, as the Flask probe counted them."""
        counted: Counter[str] = Counter()
        for sample in self._samples("flask_requests_total"):
            if sample.labels["route"] != without_route:
                counted[sample.labels["status"]] += int(sample.value)
        return dict(counted)

    def lines(self, *names: str) -> list[str]:
        """Return the page's own lines for these names."""
        return [line for line in self.text.splitlines() if line.split("{")[0].split(" ")[0] in names]

    def _samples(self, name: str) -> list[Sample]:
        families = text_string_to_metric_families(self.text)
        return [sample for family in families for sample in family.samples if sample.name == name]


def _csv() -> str:
    rows = [f"{number},Demo import,funnel,2,3.20" for number in range(CSV_ORDERS)]
    return "\n".join(["order,customer,sku,quantity,unit_price", *rows]) + "\n"
