"""A Prometheus server of one's own."""

from __future__ import annotations

import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Sequence

from tests.servers.process import Server, ServerError, find_program

PACKAGE = "prometheus"


class Prometheus(Server):
    """`prometheus` that scrapes the given `host:port` targets under the job name `ullage`."""

    name = "prometheus"

    def __init__(self, targets: Sequence[str], scrape_interval: str = "1s") -> None:
        super().__init__()
        self.targets = list(targets)
        self.scrape_interval = scrape_interval

    def command(self) -> list[str]:
        """Return the program and its arguments."""
        return [
            find_program("prometheus", PACKAGE),
            f"--config.file={self.directory / 'prometheus.yml'}",
            f"--storage.tsdb.path={self.directory / 'data'}",
            f"--web.listen-address=127.0.0.1:{self.port}",
        ]

    def prepare(self) -> None:
        """Write the configuration; JSON is YAML."""
        configuration = {
            "global": {"scrape_interval": self.scrape_interval, "scrape_timeout": self.scrape_interval},
            "scrape_configs": [{"job_name": "ullage", "static_configs": [{"targets": self.targets}]}],
        }
        (self.directory / "prometheus.yml").write_text(json.dumps(configuration))

    def is_ready(self) -> bool:
        """Say whether the server answers."""
        try:
            self._get("/-/ready")
        except OSError:
            return False
        return True

    @property
    def url(self) -> str:
        """The server's address."""
        return f"http://127.0.0.1:{self.port}"

    def query(self, promql: str) -> list[tuple[dict[str, str], float]]:
        """Return the labels and the value of each series of an instant query."""
        try:
            answer = json.loads(self._get("/api/v1/query?" + urllib.parse.urlencode({"query": promql})))
        except urllib.error.HTTPError as error:
            with error:
                raise ServerError(f"Prometheus refused {promql!r}: {error.read().decode()}") from None
        series = answer["data"]["result"]
        if answer["data"]["resultType"] != "vector":
            raise ServerError(f"{promql!r} is a {answer['data']['resultType']}, not a vector; wrap it in vector()")
        return [(entry["metric"], float(entry["value"][1])) for entry in series]

    def _get(self, path: str) -> bytes:
        with urllib.request.urlopen(self.url + path, timeout=5) as response:
            body: bytes = response.read()
        return body
