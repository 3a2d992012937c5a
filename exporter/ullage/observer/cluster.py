"""The Kubernetes API, as far as the observer needs it: list pods, create and patch Events. Imported when that is on.

The kubernetes client brings the service account, the renewal of its token and the connection; requests are made with
its connection pool. Its classes for the API itself are left alone: they take 21 MB more, and 1.4 s of processor time at
the start, and their arguments changed between the releases that are supported.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from kubernetes.client.configuration import Configuration
from kubernetes.client.rest import RESTClientObject
from kubernetes.config import ConfigException
from kubernetes.config.incluster_config import InClusterConfigLoader
from urllib3 import Timeout
from urllib3.exceptions import HTTPError

from ullage import __version__
from ullage.observer.pods import Pod

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
CONNECT_SECONDS, READ_SECONDS = 2.0, 5.0
PODS_A_PAGE = 500
MOST_PAGES = 10

Body = dict[str, Any]


class ClusterError(Exception):
    """The Kubernetes API could not be asked, or refused."""


class NoServiceAccountError(ClusterError):
    """There is no service account to ask with."""


class Cluster:
    """Asks as the pod's service account; its token is read again every minute, because Kubernetes renews it."""

    def __init__(
        self,
        namespace: str | None = None,
        directory: Path = SERVICE_ACCOUNT,
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        """Raise NoServiceAccountError when `directory` or the API server's address is missing."""
        make: Any = InClusterConfigLoader  # it has no annotations
        self.loader = make(str(directory / "token"), str(directory / "ca.crt"), environ=environ)
        self._configuration = Configuration()
        # The next pass is the next attempt.
        self._configuration.retries = False
        try:
            self.loader.load_and_set(self._configuration)
            self.namespace = namespace or (directory / "namespace").read_text().strip()
        except (ConfigException, OSError) as error:
            raise NoServiceAccountError(f"no service account at {directory}: {error}") from None
        self._pool = RESTClientObject(self._configuration).pool_manager

    def pods(self, selector: str, port: int) -> Iterator[Pod]:
        """Yield the running pods that declare the port."""
        query = {"labelSelector": selector, "fieldSelector": "status.phase=Running", "limit": str(PODS_A_PAGE)}
        for _ in range(MOST_PAGES):
            page = self._ask("GET", f"pods?{urlencode(query)}")
            for found in page["items"]:
                address = found["status"].get("podIP")
                if address and _declares(found["spec"], port):
                    yield Pod(found["metadata"]["name"], found["metadata"]["uid"], address)
            query["continue"] = page["metadata"].get("continue", "")
            if not query["continue"]:
                return

    def create_event(self, body: Body) -> bool:
        """Create an Event; return False when there is one of that name."""
        return self._ask("POST", "events", body, tolerated=409) is not None

    def patch_event(self, name: str, body: Body) -> Body | None:
        """Patch an Event and return it; None when there is none of that name. An empty patch reads it."""
        found: Body | None = self._ask("PATCH", f"events/{quote(name)}", body, tolerated=404)
        return found

    def _ask(self, method: str, what: str, body: Body | None = None, tolerated: int | None = None) -> Any:
        url = f"{self._configuration.host}/api/v1/namespaces/{self.namespace}/{what}"
        where = f"{method} {what.partition('?')[0]} in {self.namespace}"
        try:
            response = self._pool.request(
                method,
                url,
                body=None if body is None else json.dumps(body),
                headers=self._headers(method),
                timeout=Timeout(connect=CONNECT_SECONDS, read=READ_SECONDS),
                redirect=False,
            )
            answer = json.loads(response.data)
        except (HTTPError, ConfigException, OSError, ValueError) as error:
            raise ClusterError(f"{where}: {type(error).__name__}: {error}") from None
        if response.status == tolerated:
            return None
        if response.status >= 300:
            # It names the verb, the resource and the service account.
            raise ClusterError(f"{where}: {response.status} {answer.get('message', response.reason)}")
        return answer

    def _headers(self, method: str) -> dict[str, str]:
        kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
        # Asked for each time: this is what reads a renewed token.
        settings: Any = self._configuration.auth_settings()
        return {
            "Authorization": settings["BearerToken"]["value"],
            "Content-Type": kind,
            "Accept": "application/json",
            "User-Agent": f"ullage/{__version__}",
        }


def _declares(spec: Body, port: int) -> bool:
    containers = [*spec.get("containers", ()), *spec.get("initContainers", ())]
    return any(declared.get("containerPort") == port for one in containers for declared in one.get("ports", ()))
