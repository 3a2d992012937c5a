"""TLS, users and headers from a web configuration file, on real connections."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import ssl
import tempfile
from collections.abc import Iterator
from pathlib import Path

import bcrypt
import httpx
import pytest
import yaml

from tests.certificates import Authority
from tests.test_server import running
from ullage.server import Limits, Server
from ullage.webconfig import WebConfig, WebConfigError

ALICE = bcrypt.hashpw(b"wonderland", bcrypt.gensalt(4)).decode()


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """Give a certificate authority that writes beside web.yml, with a certificate `server`."""
    authority = Authority(tmp_path)
    authority.issue("server")
    return authority


def write(directory: Path, content: object) -> Path:
    """Write web.yml, in one step as Kubernetes does, and return its path."""
    path, new = directory / "web.yml", directory / "web.yml.new"
    new.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    new.replace(path)
    return path


def tls(**more: object) -> dict[str, object]:
    """Return a TLS section with the certificate `server` and more keys."""
    return {"tls_server_config": {"cert_file": "server.crt", "key_file": "server.key", **more}}


class TestUsers:
    @pytest.fixture
    def url(self, tmp_path: Path) -> Iterator[str]:
        """Give the URL of a server that knows Alice and a shared secret of 80 bytes."""
        long = bcrypt.hashpw(b"x" * 72, bcrypt.gensalt(4)).decode()
        with running(access=WebConfig(write(tmp_path, {"basic_auth_users": {"alice": ALICE, "ö": long}}))) as server:
            yield server.url

    def test_right_password(self, url: str) -> None:
        """A user with the right password gets the page, the first time and from memory."""
        for _ in range(2):
            assert httpx.get(f"{url}metrics", auth=("alice", "wonderland")).status_code == 200

    def test_cost(self, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """A right password costs bcrypt once, a wrong one each time, and an unknown user as much as a known one."""
        checked: list[bytes] = []
        check = bcrypt.checkpw

        def count(password: bytes, hashed: bytes) -> bool:
            checked.append(password)
            return check(password, hashed)

        monkeypatch.setattr(bcrypt, "checkpw", count)
        for user, password in [("alice", "wonderland"), ("alice", "wrong"), ("mallory", "unknown")] * 3:
            httpx.get(url, auth=(user, password))
        assert checked == [b"wonderland", *[b"wrong", b"unknown"] * 3]

    def test_long_password(self, url: str) -> None:
        """A password longer than bcrypt reads is cut, as htpasswd and Go cut it."""
        assert httpx.get(f"{url}metrics", auth=("ö", "x" * 80)).status_code == 200

    @pytest.mark.parametrize("path", ["", "metrics", "leaks", "nothing"])
    def test_no_password(self, url: str, path: str) -> None:
        """Without a password every page but /healthz is a 401 that asks for one."""
        response = httpx.get(f"{url}{path}")
        assert response.status_code == 401
        assert response.headers["WWW-Authenticate"] == 'Basic realm="ullage"'

    def test_healthz(self, url: str) -> None:
        """/healthz stays open for the kubelet."""
        assert httpx.get(f"{url}healthz").status_code == 200

    @pytest.mark.parametrize("user", ["alice", "mallory"])
    @pytest.mark.parametrize("password", ["", "Wonderland", "wonderland\0", "x" * 5000])
    def test_wrong_password(self, url: str, user: str, password: str) -> None:
        """A wrong password is refused, for a known and for an unknown user."""
        assert httpx.get(f"{url}metrics", auth=("alice", "wonderland")).status_code == 200
        assert httpx.get(f"{url}metrics", auth=(user, password)).status_code == 401

    def test_unknown_user_with_known_password(self, url: str) -> None:
        """The right password of another user lets nobody in."""
        assert httpx.get(f"{url}metrics", auth=("mallory", "wonderland")).status_code == 401

    @pytest.mark.parametrize(
        "header", ["Basic", "Basic ?", "Basic YWxpY2U=", "Bearer YWxpY2U6d29uZGVybGFuZA==", "Basic ü"]
    )
    def test_malformed_header(self, url: str, header: str) -> None:
        """An Authorization header that is no basic authentication is refused."""
        headers = {b"Authorization": header.encode()}
        assert httpx.get(f"{url}metrics", headers=headers).status_code == 401

    def test_changed_password(self, tmp_path: Path) -> None:
        """A changed file counts from the next request on: the old password is refused, the new one is right."""
        with running(access=WebConfig(write(tmp_path, {"basic_auth_users": {"alice": ALICE}}))) as server:
            assert httpx.get(server.url, auth=("alice", "wonderland")).status_code == 200
            new = bcrypt.hashpw(b"looking-glass", bcrypt.gensalt(4)).decode()
            write(tmp_path, {"basic_auth_users": {"alice": new}})
            assert httpx.get(server.url, auth=("alice", "wonderland")).status_code == 401
            assert httpx.get(server.url, auth=("alice", "looking-glass")).status_code == 200

    def test_broken_change(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        """A change that cannot be used is logged once, and what was read before stays in force."""
        with running(access=WebConfig(write(tmp_path, {"basic_auth_users": {"alice": ALICE}}))) as server:
            write(tmp_path, {"basic_auth_users": {"alice": "secret"}})
            for _ in range(3):
                assert httpx.get(server.url).status_code == 401
            assert httpx.get(server.url, auth=("alice", "wonderland")).status_code == 200
        [line] = [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]
        assert line.endswith("make one with `htpasswd -nBC 10 alice`; still using what was read before")


class TestTLS:
    def test_https(self, tmp_path: Path, authority: Authority) -> None:
        """With a certificate the server speaks TLS 1.3, and nothing in plain."""
        with running(access=WebConfig(write(tmp_path, tls()))) as server:
            assert server.url.startswith("https://")
            assert httpx.get(f"{server.url}metrics", verify=authority.client_context()).status_code == 200
            with pytest.raises(httpx.TransportError):
                httpx.get(server.url.replace("https", "http"))

    def test_inline(self, tmp_path: Path, authority: Authority) -> None:
        """The certificate and its key may be in the file itself."""
        section = {"cert": (tmp_path / "server.crt").read_text(), "key": (tmp_path / "server.key").read_text()}
        with running(access=WebConfig(write(tmp_path, {"tls_server_config": section}))) as server:
            assert httpx.get(server.url, verify=authority.client_context()).status_code == 200

    def test_old_version(self, tmp_path: Path, authority: Authority) -> None:
        """A client that speaks only an older TLS than min_version is refused."""
        context = authority.client_context()
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        with running(access=WebConfig(write(tmp_path, tls(min_version="TLS13")))) as server:
            with pytest.raises(httpx.ConnectError):
                httpx.get(server.url, verify=context)
            assert httpx.get(server.url, verify=authority.client_context()).status_code == 200

    def test_cipher_suites(self, tmp_path: Path, authority: Authority) -> None:
        """Go's cipher suite names choose what TLS 1.2 uses."""
        suites = ["TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256", "TLS_AES_128_GCM_SHA256"]
        config = WebConfig(write(tmp_path, tls(max_version="TLS12", cipher_suites=suites)))
        with running(access=config) as server:
            address = ("127.0.0.1", int(server.server_address[1]))
            with (
                socket.create_connection(address, timeout=10) as plain,
                authority.client_context().wrap_socket(plain, server_hostname="server") as client,
            ):
                assert client.cipher() == ("ECDHE-ECDSA-CHACHA20-POLY1305", "TLSv1.2", 256)

    def test_silent_client(self, tmp_path: Path, authority: Authority) -> None:
        """Clients that never finish their handshake do not keep a scrape waiting for good."""
        limits = Limits(connections=1, request_seconds=0.2, poll_seconds=0.05)
        with running(access=WebConfig(write(tmp_path, tls())), limits=limits) as server:
            address = ("127.0.0.1", int(server.server_address[1]))
            with socket.create_connection(address), socket.create_connection(address):
                response = httpx.get(server.url, verify=authority.client_context(), timeout=10)
            assert response.status_code == 200

    def test_renewed_certificate(self, tmp_path: Path, authority: Authority) -> None:
        """A renewed certificate is served from the next connection on; a half-written one is not."""

        def serial(server: Server) -> str:
            address = ("127.0.0.1", int(server.server_address[1]))
            with (
                socket.create_connection(address, timeout=10) as plain,
                authority.client_context().wrap_socket(plain, server_hostname="127.0.0.1") as client,
            ):
                return str((client.getpeercert() or {})["serialNumber"])

        with running(access=WebConfig(write(tmp_path, tls()))) as server:
            first = serial(server)
            certificate, key = authority.issue("renewed")
            certificate.replace(tmp_path / "server.crt")
            assert serial(server) == first
            key.replace(tmp_path / "server.key")
            assert serial(server) != first

    def test_tls_turned_off(self, tmp_path: Path, authority: Authority, caplog: pytest.LogCaptureFixture) -> None:
        """Removing TLS from a running server's file is refused, rather than served in plain."""
        with running(access=WebConfig(write(tmp_path, tls()))) as server:
            write(tmp_path, "")
            assert httpx.get(server.url, verify=authority.client_context()).status_code == 200
        assert "needs a restart of ullage" in caplog.text


class TestClientCertificates:
    POLICY = "RequireAndVerifyClientCert"

    def test_required(self, tmp_path: Path, authority: Authority) -> None:
        """With client_ca_file a client needs a certificate of that authority."""
        config = WebConfig(write(tmp_path, tls(client_ca_file="ca.crt", client_auth_type=self.POLICY)))
        trusted = authority.client_context(authority.issue("prometheus"))
        with running(access=config) as server:
            assert httpx.get(server.url, verify=trusted).status_code == 200
            with pytest.raises(httpx.TransportError):
                httpx.get(server.url, verify=authority.client_context())

    @pytest.mark.parametrize("name", ["prometheus", "127.0.0.1"], ids=["host", "address"])
    def test_allowed_names(self, tmp_path: Path, authority: Authority, name: str) -> None:
        """With client_allowed_sans one of the client's names must be on the list."""
        section = tls(client_ca_file="ca.crt", client_auth_type=self.POLICY, client_allowed_sans=[name])
        with running(access=WebConfig(write(tmp_path, section))) as server:
            known = authority.client_context(authority.issue("prometheus"))
            assert httpx.get(server.url, verify=known).status_code == 200

    def test_other_names(self, tmp_path: Path, authority: Authority) -> None:
        """A client whose names are not on the list is cut off."""
        section = tls(client_ca_file="ca.crt", client_auth_type=self.POLICY, client_allowed_sans=["grafana"])
        with running(access=WebConfig(write(tmp_path, section))) as server:
            known = authority.client_context(authority.issue("prometheus"))
            with pytest.raises(httpx.TransportError):
                httpx.get(server.url, verify=known)


class TestHeaders:
    def test_headers(self, tmp_path: Path) -> None:
        """The headers of the file are on every response, and http2 is accepted."""
        headers = {"X-Frame-Options": "deny", "Content-Security-Policy": "default-src 'self'"}
        config = WebConfig(write(tmp_path, {"http_server_config": {"http2": True, "headers": headers}}))
        with running(access=config) as server:
            for path in ("", "metrics", "nothing"):
                response = httpx.get(f"{server.url}{path}")
                assert response.headers["X-Frame-Options"] == "deny"
                assert response.headers["Content-Security-Policy"] == "default-src 'self'"


class TestErrors:
    @pytest.mark.parametrize(
        ("content", "message"),
        [
            ("tls_server_config: [", "not YAML: line 1, column "),
            ("\x00", "not YAML: "),
            ("- tls", "the whole file must be a mapping"),
            ({"tls_config": {}}, "tls_config is unknown; did you mean tls_server_config?"),
            ({"x": 1}, "x is unknown; known are tls_server_config, http_server_config, basic_auth_users"),
            ({"rate_limit": {"burst": 1}}, "rate_limit is not supported here"),
            (tls(cert_fil="a"), "tls_server_config.cert_fil is unknown; did you mean cert_file?"),
            (tls(min_version=1.2), "tls_server_config.min_version must be text"),
            (tls(min_version="TLS10"), "tls_server_config.min_version: TLS10 is not one of TLS12, TLS13"),
            (tls(min_version="TLS13", max_version="TLS12"), "tls_server_config.min_version is above max_version"),
            (tls(cipher_suites=["AES"]), "tls_server_config.cipher_suites: AES is not one of TLS_ECDHE_"),
            (tls(cipher_suites=[1]), "tls_server_config.cipher_suites must be a list of text"),
            (tls(curve_preferences=["X25519"]), "tls_server_config.curve_preferences is not supported"),
            (tls(cert="x"), "tls_server_config has both cert and cert_file; remove one"),
            (tls(key_file=None), "tls_server_config needs key_file (or key)"),
            (tls(key_file="none.key"), "none.key: No such file or directory; it must exist and be readable for uid"),
            (tls(key_file="."), "Is a directory"),
            (tls(key_file="other.key"), "server.crt and other.key are not a PEM certificate and its key: KEY_VALUES"),
            (tls(key_file="web.yml"), "server.crt and web.yml are not a PEM certificate and its key"),
            (tls(key_file="locked.key"), "the TLS key is encrypted; store it without a password"),
            (tls(client_ca_file="ca.crt"), "client_auth_type and client_ca_file need each other"),
            (tls(client_auth_type="RequireAndVerifyClientCert"), "client_auth_type and client_ca_file need each"),
            (tls(client_auth_type="RequireAnyClientCert"), "RequireAnyClientCert is not one of NoClientCert, "),
            (tls(client_allowed_sans=[]), "tls_server_config.client_allowed_sans is empty and would let nobody"),
            (tls(client_allowed_sans=["a"]), "client_allowed_sans needs RequireAndVerifyClientCert"),
            (
                tls(client_ca_file="server.key", client_auth_type="RequireAndVerifyClientCert"),
                "tls_server_config.client_ca_file has no PEM certificate",
            ),
            ({"basic_auth_users": {"alice": "wonderland"}}, "basic_auth_users.alice is not a bcrypt hash; make one"),
            ({"basic_auth_users": {1: ALICE}}, "basic_auth_users: the name 1 must be text; put it in quotes"),
            ({"basic_auth_users": ["alice"]}, "basic_auth_users must be a mapping"),
            (
                {"http_server_config": {"headers": {"X-Frame-Options": "maybe"}}},
                "http_server_config.headers.X-Frame-Options: 'maybe' must be deny or sameorigin",
            ),
            (
                {"http_server_config": {"headers": {"X-XSS-Protection": "0\r\nSet-Cookie: a=b"}}},
                "http_server_config.headers.X-XSS-Protection: ",
            ),
            ({"http_server_config": {"headers": {"Set-Cookie": "a"}}}, "headers.Set-Cookie is unknown; known are"),
        ],
    )
    def test_unusable(self, tmp_path: Path, authority: Authority, content: object, message: str) -> None:
        """A file that cannot be used is refused in one line that names the file, the key and the next step."""
        authority.issue("other")
        authority.issue("locked", password=b"secret")
        path = write(tmp_path, content)
        with pytest.raises(WebConfigError) as caught:
            WebConfig(path)
        text = str(caught.value)
        assert text.startswith(f"web configuration file {path}: ")
        assert message in text
        assert "\n" not in text

    def test_missing(self, tmp_path: Path) -> None:
        """A missing file is refused by name."""
        with pytest.raises(WebConfigError, match=r"cannot read .*/none\.yml: No such file or directory; it must"):
            WebConfig(tmp_path / "none.yml")

    def test_unreadable_key(self) -> None:
        """A key that this user may not read is refused with the user's id."""
        with tempfile.TemporaryDirectory() as name:
            directory = Path(name)
            directory.chmod(0o755)
            _, key = Authority(directory).issue("server")
            key.chmod(0)
            path = write(directory, tls())
            with as_nobody(), pytest.raises(WebConfigError) as caught:
                WebConfig(path)
            assert str(caught.value).endswith(
                f"cannot read {key}: Permission denied; it must exist and be readable for uid {os.geteuid() or 65534}"
            )


@contextlib.contextmanager
def as_nobody() -> Iterator[None]:
    """Give up root's right to read every file, where the tests run as root."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)
