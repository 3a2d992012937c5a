from __future__ import annotations

import datetime
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.conftest import _skip_if_missing
from tests.promises import workers
from tests.promises.scenarios.rq_forks import AFTER, BEFORE
from tests.servers import MariaDB, end_process, free_port, owned_command, wait_for

pytestmark = [pytest.mark.promise, pytest.mark.timeout(900)]

LINE = re.compile(r"(?:\d{6}\s+\d?\d:\d\d:\d\d)?\t\s*(\d+) (\w+)\s?(.*)")


def _statements(log: str, connection_id: int) -> list[str]:
    """Return what the server received on a connection, as `Command statement`."""
    found = [LINE.match(line) for line in Path(log).read_text().splitlines()]
    return [f"{line[2]} {line[3]}".strip() for line in found if line and int(line[1]) == connection_id]


def _certify(directory: Path) -> tuple[Path, Path]:
    """Write a certificate for the loopback address, its own authority, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.timezone.utc)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    encoding = serialization.Encoding.PEM
    plain = serialization.NoEncryption()
    paths = directory / "server.pem", directory / "server.key"
    paths[0].write_bytes(certificate.public_bytes(encoding))
    paths[1].write_bytes(key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, plain))
    return paths


@pytest.fixture(scope="module")
def tls_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[MariaDB, Path]]:
    """Give a MariaDB server that logs all that it receives and speaks TLS, and its authority's certificate."""
    directory = tmp_path_factory.mktemp("tls")
    certificate, key = _certify(directory)
    with _skip_if_missing(), MariaDB({"ssl-cert": str(certificate), "ssl-key": str(key)}, general_log=True) as server:
        yield server, certificate


def test_horses_send_nothing_on_their_workers_connections(scenario, segments, redis_server, tls_server, size):
    """A worker amid transactions forks a hundred horses: the server sees no statement and no good-bye of theirs."""
    server, _ = tls_server
    count = size(100, 20)
    found = scenario(
        "rq_forks", what="horses", directory=segments, redis=redis_server.url, database=server.url(), count=count
    )
    between = [_between(_statements(server.general_log_path, parent)) for parent in found["parents"]]
    children = set(found["children"])
    print(
        f"\npromise horses: {count} horses, {found['statuses']}, {len(children)} connections of their own; "
        f"statements on the worker's two connections meanwhile: {between}; leaks {found['leaks']}"
    )
    assert between == [[], []]
    assert found["statuses"] == {"finished": count}
    assert len(children) == count
    assert children.isdisjoint(found["parents"])
    assert found["writers"] == [-2, -1, *range(1, count, 2)]
    # Those that did not clean up: each had a connection of its own.
    assert found["leaks"] == {"held_at_job_end": count / 2}


def _between(statements: list[str]) -> list[str]:
    first, last = statements.index(f"Query {BEFORE}"), statements.index(f"Query {AFTER}")
    return statements[first + 1 : last]


def test_a_preloaded_worker_speaks_tls(scenario, segments, redis_server, tls_server, size):
    """A worker that has open TLS connections performs a thousand jobs with no error; without fork safety some fail."""
    server, ca = tls_server
    count = size(1_000, 30)
    for name in ("on", "off"):
        (segments / name).mkdir()
    shared = {"what": "tls", "redis": redis_server.url, "database": server.url(), "ca": ca}
    found = scenario("rq_forks", directory=segments / "on", count=count, fork_safety="on", **shared)
    control = scenario("rq_forks", directory=segments / "off", count=10, fork_safety="off", **shared)
    print(
        f"\npromise TLS: {count:,} jobs, {found['statuses']}, {found['connect_errors']:g} connect errors, "
        f"{found['stale']:g} stale; ciphers {found['ciphers']}; without fork safety, of 10: {control['statuses']}"
    )
    assert found["statuses"] == {"finished": count}
    assert found["connect_errors"] == found["stale"] == 0
    assert "" not in found["ciphers"]
    assert control["statuses"].get("failed", 0) > 0


def test_multiprocessing_children_speak_tls(scenario, segments, tls_server, size):
    """Forked children of a process amid a TLS transaction query on connections of their own, and so does it after."""
    server, ca = tls_server
    count = size(1_000, 50)
    found = scenario(
        "rq_forks", what="pool_of_processes", directory=segments, database=server.url(), ca=ca, count=count
    )
    print(f"\npromise multiprocessing: {found['queries']:,} queries over TLS in {found['children']} children")
    assert found["queries"] == count
    assert found["children"] >= count // 10
    assert found["parent"]


def test_a_worker_in_an_app_context_works(scenario, segments, redis_server, tls_server, size):
    """`with app.app_context(): worker.work()`: jobs use `db.session`, each on a connection of its own."""
    server, _ = tls_server
    count = size(100, 15)
    found = scenario(
        "rq_forks", what="app_context", directory=segments, redis=redis_server.url, database=server.url(), count=count
    )
    print(f"\npromise app context: {count} jobs, {found['statuses']}, {len(set(found['children']))} connections")
    assert found["statuses"] == {"finished": count}
    assert len({*found["children"], found["parent"]}) == count + 1


def test_gunicorn_preload_shares_no_connection(segments, tls_server, tmp_path, size):
    """Workers of `gunicorn --preload` whose master is amid a TLS transaction answer every request on their own."""
    server, ca = tls_server
    count = size(1_000, 100)
    port = free_port()
    env = workers.environment(segments, JOBS_DATABASE=server.url(), JOBS_CA=str(ca))
    command = [sys.executable, "-m", "gunicorn", "--preload", "--workers", "3", "--bind", f"127.0.0.1:{port}"]
    command += ["--no-control-socket"] if "--no-control-socket" in _help_of_gunicorn() else []
    log = tmp_path / "gunicorn.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            owned_command([*command, "tests.promises.flask_jobs:preloaded()"]),
            cwd=workers.ROOT,
            env=env,
            stdout=output,
            stderr=output,
        )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:
            wait_for(lambda: _status(client), timeout=60, what="gunicorn", interval=0.1)
            answers = [client.get("/connection", headers={"Connection": "close"}) for _ in range(count)]
    finally:
        end_process(process, 15, 20)
    parents = {int(line) for line in re.findall(r"PARENT (\d+)", log.read_text())}
    ids = {int(answer.text) for answer in answers if answer.status_code == 200}
    statuses = {answer.status_code for answer in answers}
    print(f"\npromise gunicorn --preload: {count:,} requests over TLS, statuses {statuses}, {len(ids)} connections")
    assert statuses == {200}
    assert len(parents) == 1
    assert ids.isdisjoint(parents)
    [parent] = parents
    # Its own statement, before its workers were.
    assert [s for s in _statements(server.general_log_path, parent) if "CONNECTION_ID" in s] == [
        "Query SELECT CONNECTION_ID()"
    ]


def _status(client: httpx.Client) -> bool:
    try:
        return client.get("/connection").status_code == 200
    except httpx.TransportError:
        return False


def _help_of_gunicorn() -> str:
    command = [sys.executable, "-m", "gunicorn", "--help"]
    return subprocess.run(command, capture_output=True, text=True, check=True, env=dict(os.environ)).stdout
