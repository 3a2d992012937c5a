"""TLS, users and headers from a web configuration file in the format of Prometheus' exporter-toolkit.

The files are read again when they change; a change that cannot be used is logged, and the last good one stays.
"""

from __future__ import annotations

import base64
import hashlib
import logging
import os
import re
import socket
import ssl
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

log = logging.getLogger(__name__)

_REMEMBERED_LOGINS = 100
_BCRYPT = re.compile(r"\$2[abxy]\$(0[4-9]|[12][0-9]|3[01])\$[./A-Za-z0-9]{53}")
_VERSIONS = {"TLS12": ssl.TLSVersion.TLSv1_2, "TLS13": ssl.TLSVersion.TLSv1_3}
_CLIENT_AUTH = {
    "NoClientCert": ssl.CERT_NONE,
    "VerifyClientCertIfGiven": ssl.CERT_OPTIONAL,
    "RequireAndVerifyClientCert": ssl.CERT_REQUIRED,
}
_HEADERS: dict[str, tuple[str, ...]] = {
    "Content-Security-Policy": (),
    "Strict-Transport-Security": (),
    "X-Content-Type-Options": ("nosniff",),
    "X-Frame-Options": ("deny", "sameorigin"),
    "X-XSS-Protection": (),
}
# Go's names to OpenSSL's. As in Go, those of TLS 1.3 are accepted and not configurable.
_CIPHERS = {
    f"TLS_ECDHE_{key}_WITH_{go_name}": f"ECDHE-{key}-{openssl_name}"
    for key in ("ECDSA", "RSA")
    for go_name, openssl_name in {
        "AES_128_CBC_SHA": "AES128-SHA",
        "AES_256_CBC_SHA": "AES256-SHA",
        "AES_128_GCM_SHA256": "AES128-GCM-SHA256",
        "AES_256_GCM_SHA384": "AES256-GCM-SHA384",
        "CHACHA20_POLY1305_SHA256": "CHACHA20-POLY1305",
    }.items()
} | dict.fromkeys(("TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"), "")
_FILES = ("cert_file", "key_file", "client_ca_file")
_KEYS: dict[str, dict[str, type]] = {
    "": {"tls_server_config": dict, "http_server_config": dict, "basic_auth_users": dict},
    "http_server_config": {"http2": bool, "headers": dict},
    "http_server_config.headers": dict.fromkeys(_HEADERS, str),
    "tls_server_config": dict.fromkeys(
        (*_FILES, "cert", "key", "client_ca", "client_auth_type", "min_version", "max_version"), str
    )
    | {"client_allowed_sans": list, "cipher_suites": list, "prefer_server_cipher_suites": bool},
}
_UNSUPPORTED = {
    "rate_limit": "is not supported here; limit requests in front of ullage and remove it",
    "tls_server_config.curve_preferences": "is not supported by Python's ssl; remove it",
}
_TYPE_NAMES = {dict: "a mapping", list: "a list of text", str: "text", bool: "true or false"}

_T = TypeVar("_T")


class WebConfigError(Exception):
    """The web configuration file, or a file that it names, cannot be used."""


@dataclass(frozen=True)
class _Loaded:
    users: Mapping[str, bytes]
    headers: Mapping[str, str]
    tls: ssl.SSLContext | None
    allowed_sans: frozenset[str]
    files: tuple[Path, ...]
    stamp: tuple[object, ...]


class WebConfig:
    """Decides who may connect, and how, by the web configuration file as it is now."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._passwords = _Passwords()
        # Replaced as a whole under _lock, read without it.
        self._lock = threading.Lock()
        self._loaded = self._load()
        self._seen = self._loaded.stamp

    @property
    def scheme(self) -> str:
        """Return https or http."""
        return "https" if self._loaded.tls else "http"

    @property
    def headers(self) -> Mapping[str, str]:
        """Return the headers that every response carries."""
        return self._loaded.headers

    def admits(self, authorization: str | None) -> bool:
        """Return whether the Authorization header names a user with the right password, if users are set."""
        users = self._loaded.users
        return not users or self._passwords.are_right(users, authorization or "")

    def secure(self, connection: socket.socket, timeout_seconds: float) -> socket.socket:
        """Return the connection after its TLS handshake; raise OSError if that fails."""
        self._reload_if_changed()
        loaded = self._loaded
        if loaded.tls is None:
            return connection
        connection.settimeout(timeout_seconds)
        secured = loaded.tls.wrap_socket(connection, server_side=True)
        if loaded.allowed_sans and not loaded.allowed_sans & _subject_names(secured):
            secured.close()
            raise ssl.SSLError("no subject alternative name of the client is in client_allowed_sans")
        secured.settimeout(None)
        return secured

    def _load(self) -> _Loaded:
        try:
            return _load(self._path)
        except (WebConfigError, OSError) as error:
            raise WebConfigError(f"web configuration file {self._path}: {error}") from None

    def _reload_if_changed(self) -> None:
        stamp = _stamp((self._path, *self._loaded.files))
        with self._lock:
            if stamp == self._seen:
                return
            self._seen = stamp
            try:
                loaded = self._load()
            except WebConfigError as error:
                log.error("%s; still using what was read before", error)
                return
            if bool(loaded.tls) != bool(self._loaded.tls):
                log.error("%s turns TLS on or off, which needs a restart of ullage", self._path)
                return
            self._loaded, self._seen = loaded, loaded.stamp
            log.info("read the web configuration file %s again", self._path)


class _Passwords:
    """Checks passwords against bcrypt hashes, and remembers the right ones so that a scrape costs no bcrypt."""

    def __init__(self) -> None:
        self._secret = os.urandom(32)
        # Oldest first. One bcrypt at a time, which also bounds the processor time that guessing costs.
        self._right: dict[bytes, None] = {}
        self._lock = threading.Lock()

    def are_right(self, users: Mapping[str, bytes], authorization: str) -> bool:
        scheme, _, encoded = authorization.partition(" ")
        try:
            decoded = base64.b64decode(encoded.strip(), validate=True)
        except ValueError:
            return False
        user, colon, password = decoded.partition(b":")
        if scheme.lower() != "basic" or not colon:
            return False
        return self._is_right(users, user.decode(errors="replace"), password)

    def _is_right(self, users: Mapping[str, bytes], user: str, password: bytes) -> bool:
        import bcrypt

        # An unknown user costs what a known one does, so that timing names no users.
        hashed = users.get(user) or max(users.values(), key=_bcrypt_cost)
        text = b"%d:%b%b%b" % (len(user), user.encode(), hashed, password)
        key = hashlib.blake2b(text, key=self._secret).digest()
        if key in self._right:
            return user in users
        with self._lock:
            # bcrypt reads 72 bytes and its Python package refuses more; Go and htpasswd cut.
            if not bcrypt.checkpw(password[:72], hashed) or user not in users:
                return False
            self._right[key] = None
            if len(self._right) > _REMEMBERED_LOGINS:
                del self._right[next(iter(self._right))]
        return True


def _bcrypt_cost(hashed: bytes) -> int:
    return int(hashed.split(b"$")[2])


def _load(path: Path) -> _Loaded:
    before = _stamp((path,))
    whole = _section("", _parse_yaml(_read(path)))
    tls = _section("tls_server_config", whole.get("tls_server_config"))
    http = _section("http_server_config", whole.get("http_server_config"))
    files = tuple(path.parent / tls[name] for name in _FILES if tls.get(name))
    # Taken before the files are read: a change in between is then seen by the next connection.
    stamp = before + _stamp(files)
    return _Loaded(
        users=_read_users(whole.get("basic_auth_users") or {}),
        headers=_read_headers(_section("http_server_config.headers", http.get("headers"))),
        tls=_build_context(tls, path.parent) if tls else None,
        allowed_sans=frozenset(tls.get("client_allowed_sans", ())),
        files=files,
        stamp=stamp,
    )


def _stamp(paths: tuple[Path, ...]) -> tuple[object, ...]:
    def one(path: Path) -> object:
        try:
            status = path.stat()
        except OSError as error:
            return error.errno
        return status.st_ino, status.st_mtime_ns, status.st_size

    return tuple(one(path) for path in paths)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise WebConfigError(
            f"cannot read {path}: {error.strerror}; it must exist and be readable for uid {os.geteuid()}"
        ) from None


def _parse_yaml(text: bytes) -> Any:
    import yaml

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise WebConfigError(f"not YAML: {where}{getattr(error, 'problem', None) or 'unreadable'}") from None


def _section(where: str, value: Any) -> dict[str, Any]:
    value = {} if value is None else value
    if not isinstance(value, dict):
        raise WebConfigError(f"{where or 'the whole file'} must be a mapping")
    known = _KEYS[where]
    for key, item in value.items():
        name = f"{where}.{key}" if where else str(key)
        if name in _UNSUPPORTED:
            raise WebConfigError(f"{name} {_UNSUPPORTED[name]}")
        if key not in known:
            raise WebConfigError(f"{name} is unknown; {_nearest(str(key), known)}")
        _check_type(name, item, known[key])
    return {key: item for key, item in value.items() if item not in (None, "")}


def _check_type(name: str, item: Any, expected: type) -> None:
    is_right = item is None or isinstance(item, expected)
    if isinstance(item, list) and not all(isinstance(entry, str) for entry in item):
        is_right = False
    if not is_right:
        raise WebConfigError(f"{name} must be {_TYPE_NAMES[expected]}")


def _nearest(given: str, known: Mapping[str, object]) -> str:
    from difflib import get_close_matches

    near = get_close_matches(given, known, n=1)
    return f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}"


def _choose(section: Mapping[str, Any], name: str, choices: Mapping[str, _T], default: str) -> _T:
    given = section.get(name, default)
    if given not in choices:
        raise WebConfigError(f"tls_server_config.{name}: {given} is not one of {', '.join(choices)}")
    return choices[given]


def _read_users(users: Mapping[Any, Any]) -> dict[str, bytes]:
    for user, hashed in users.items():
        if not isinstance(user, str):
            raise WebConfigError(f"basic_auth_users: the name {user} must be text; put it in quotes")
        if not isinstance(hashed, str) or not _BCRYPT.fullmatch(hashed):
            raise WebConfigError(
                f"basic_auth_users.{user} is not a bcrypt hash; make one with `htpasswd -nBC 10 {user}`"
            )
    if users:
        import bcrypt  # noqa: F401 - a missing package is found at the start, not at the first login
    return {user: hashed.encode() for user, hashed in users.items()}


def _read_headers(headers: Mapping[str, str]) -> Mapping[str, str]:
    for name, value in headers.items():
        allowed = _HEADERS[name]
        if (allowed and value not in allowed) or not value.isprintable() or not value.isascii():
            raise WebConfigError(
                f"http_server_config.headers.{name}: {value!r} must be {' or '.join(allowed) or 'plain text'}"
            )
    return headers


def _build_context(section: Mapping[str, Any], directory: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    lowest = _choose(section, "min_version", _VERSIONS, "TLS12")
    highest = _choose(section, "max_version", _VERSIONS, "TLS13")
    if lowest > highest:
        raise WebConfigError("tls_server_config.min_version is above max_version")
    context.minimum_version, context.maximum_version = lowest, highest
    if not section.get("prefer_server_cipher_suites", True):
        context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE
    suites = [
        _choose({"cipher_suites": name}, "cipher_suites", _CIPHERS, "") for name in section.get("cipher_suites", ())
    ]
    if any(suites):
        context.set_ciphers(":".join(filter(None, suites)))
    _load_pair(context, section, directory)
    _set_client_policy(context, section, directory)
    return context


def _pem(section: Mapping[str, Any], name: str, directory: Path) -> bytes | None:
    text, file = section.get(name), section.get(f"{name}_file")
    if text and file:
        raise WebConfigError(f"tls_server_config has both {name} and {name}_file; remove one")
    if file:
        return _read(directory / file)
    return text.encode() if text else None


def _load_pair(context: ssl.SSLContext, section: Mapping[str, Any], directory: Path) -> None:
    certificate, key = _pem(section, "cert", directory), _pem(section, "key", directory)
    if certificate is None or key is None:
        missing = "cert" if certificate is None else "key"
        raise WebConfigError(f"tls_server_config needs {missing}_file (or {missing})")
    # ssl takes file names only: a memory file serves inline text too, and what was read is what is used.
    descriptor = os.memfd_create("ullage-tls")
    try:
        with open(descriptor, "wb", closefd=False) as pair:
            pair.write(key + b"\n" + certificate)
        context.load_cert_chain(f"/proc/self/fd/{descriptor}", password=_refuse_password)
    except ssl.SSLError as error:
        names = " and ".join(str(section.get(f"{name}_file", name)) for name in ("cert", "key"))
        raise WebConfigError(f"{names} are not a PEM certificate and its key: {error.reason}") from None
    finally:
        os.close(descriptor)


def _refuse_password() -> str:
    raise WebConfigError("the TLS key is encrypted; store it without a password")


def _set_client_policy(context: ssl.SSLContext, section: Mapping[str, Any], directory: Path) -> None:
    policy = _choose(section, "client_auth_type", _CLIENT_AUTH, "NoClientCert")
    authority = _pem(section, "client_ca", directory)
    if (authority is None) != (policy == ssl.CERT_NONE):
        raise WebConfigError("tls_server_config.client_auth_type and client_ca_file need each other; set both or none")
    if section.get("client_allowed_sans") == []:
        raise WebConfigError("tls_server_config.client_allowed_sans is empty and would let nobody in; remove it")
    if "client_allowed_sans" in section and policy != ssl.CERT_REQUIRED:
        raise WebConfigError("tls_server_config.client_allowed_sans needs RequireAndVerifyClientCert")
    context.verify_mode = policy
    if authority is None:
        return
    try:
        context.load_verify_locations(cadata=authority.decode("ascii", errors="replace"))
    except ssl.SSLError as error:
        raise WebConfigError(f"tls_server_config.client_ca_file has no PEM certificate: {error.reason}") from None


def _subject_names(connection: ssl.SSLSocket) -> frozenset[str]:
    from ipaddress import ip_address

    certificate: dict[str, Any] = connection.getpeercert() or {}
    return frozenset(
        str(ip_address(value)) if kind == "IP Address" else value
        for kind, value in certificate.get("subjectAltName", ())
    )
