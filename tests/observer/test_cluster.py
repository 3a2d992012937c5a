"""The Kubernetes API, asked over TLS with a token."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.certificates import Authority
from tests.observer.api_server import ApiServer, pod
from ullage.observer.cluster import Cluster, ClusterError, NoServiceAccountError
from ullage.observer.pods import Pod


@pytest.fixture
def cluster(api: ApiServer, service_account: Path) -> Cluster:
    """Give a client of the server."""
    return Cluster(None, service_account, api.environ)


class TestServiceAccount:
    @pytest.mark.parametrize("missing", ["token", "ca.crt", "namespace"])
    def test_missing_file(self, api: ApiServer, service_account: Path, missing: str) -> None:
        """Without a file of the service account there is one error that names the directory."""
        (service_account / missing).unlink()
        with pytest.raises(NoServiceAccountError, match=f"^no service account at {service_account}: "):
            Cluster(None, service_account, api.environ)

    def test_outside_a_cluster(self, service_account: Path) -> None:
        """Without the API server's address there is the same error."""
        with pytest.raises(NoServiceAccountError, match=r"Service host/port is not set"):
            Cluster(None, service_account, {})

    def test_namespace(self, api: ApiServer, service_account: Path) -> None:
        """A namespace that is given wins over the service account's."""
        assert Cluster(None, service_account, api.environ).namespace == "shop"
        assert Cluster("other", service_account, api.environ).namespace == "other"

    def test_renewed_token(self, api: ApiServer, service_account: Path, cluster: Cluster) -> None:
        """A token that Kubernetes renewed is used from the next minute on."""
        list(cluster.pods("app=shop", 9145))
        (service_account / "token").write_text("second")
        list(cluster.pods("app=shop", 9145))
        cluster.loader.token_expires_at = cluster.loader.token_expires_at.min
        list(cluster.pods("app=shop", 9145))
        assert [asked.authorization for asked in api.requests] == ["bearer first", "bearer first", "bearer second"]

    def test_foreign_certificate(self, api: ApiServer, service_account: Path, tmp_path: Path) -> None:
        """A server that the service account's authority does not vouch for is told nothing."""
        (tmp_path / "foreign").mkdir()
        foreign = Authority(tmp_path / "foreign")
        (service_account / "ca.crt").write_bytes(foreign.file.read_bytes())
        with pytest.raises(ClusterError, match="CERTIFICATE_VERIFY_FAILED"):
            list(Cluster(None, service_account, api.environ).pods("app=shop", 9145))
        assert not api.requests


class TestPods:
    def test_those_with_a_sidecar(self, api: ApiServer, cluster: Cluster) -> None:
        """Pods that declare the port and have an address are found, through all pages."""
        api.pods = [pod("web-1", "10.0.0.1"), pod("migration", is_sidecar=False), pod("web-2", "fd00::2")]
        api.pods += [pod("new", ""), pod("foreign", port=80)]
        api.page_size = 2
        assert list(cluster.pods("app=shop", 9145)) == [
            Pod("web-1", "uid-of-web-1", "10.0.0.1"),
            Pod("web-2", "uid-of-web-2", "fd00::2"),
        ]
        first = api.requests[0]
        assert first.path == "/api/v1/namespaces/shop/pods"
        assert first.query == {"labelSelector": "app=shop", "fieldSelector": "status.phase=Running", "limit": "500"}
        assert [asked.query.get("continue") for asked in api.requests] == [None, "2", "4"]


class TestEvents:
    def test_create_and_patch(self, api: ApiServer, cluster: Cluster) -> None:
        """An Event is created once, patched, and read by an empty patch."""
        body = {"metadata": {"name": "a.1", "namespace": "shop"}, "involvedObject": {"kind": "Pod"}, "count": 1}
        assert cluster.patch_event("a.1", {}) is None
        assert cluster.create_event(body)
        assert not cluster.create_event(body)
        assert cluster.patch_event("a.1", {"count": 2}) == body | {"count": 2}
        assert cluster.patch_event("a.1", {}) == body | {"count": 2}
        assert {(asked.method, asked.path) for asked in api.requests} == {
            ("PATCH", "/api/v1/namespaces/shop/events/a.1"),
            ("POST", "/api/v1/namespaces/shop/events"),
        }
        assert {(asked.method, asked.content_type) for asked in api.requests} == {
            ("PATCH", "application/merge-patch+json"),
            ("POST", "application/json"),
        }


class TestTrouble:
    def test_refusal(self, api: ApiServer, cluster: Cluster) -> None:
        """A refusal is one line with what the API server says."""
        api.refusal = (403, 'events is forbidden: User "system:serviceaccount:shop:observer" cannot patch')
        with pytest.raises(ClusterError) as caught:
            cluster.patch_event("a.1", {})
        assert str(caught.value) == (
            'PATCH events/a.1 in shop: 403 events is forbidden: User "system:serviceaccount:shop:observer" cannot patch'
        )

    def test_no_json(self, api: ApiServer, cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
        """An answer that is no JSON, such as a proxy's, is one error."""
        monkeypatch.setattr(api, "encode", lambda _: b"<html>")
        with pytest.raises(ClusterError, match=r"^GET pods in shop: JSONDecodeError: "):
            list(cluster.pods("app=shop", 9145))

    def test_no_server(self, service_account: Path) -> None:
        """An API server that is gone is one error, at once."""
        cluster = Cluster(
            None, service_account, {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": "1"}
        )
        with pytest.raises(ClusterError, match=r"^GET pods in shop: NewConnectionError: .*refused"):
            list(cluster.pods("app=shop", 9145))
