"""`ullage observe`, as a person types it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass

import httpx
import pytest
from redis import Redis
from rq import Queue

from tests.observer import rq_tasks
from tests.servers import Redis as RedisServer
from tests.servers import end_process
from ullage.cli import main

ULLAGE = [sys.executable, "-m", "ullage"]


def environ(more: Mapping[str, str]) -> dict[str, str]:
    """Return this environment without what the observer would read of it."""
    foreign = ("ULLAGE_", "RQ_", "REDIS_", "KUBERNETES_")
    return {name: value for name, value in os.environ.items() if not name.startswith(foreign)} | dict(more)


@dataclass
class Running:
    """A running `ullage observe`, and what it logged until it listened."""

    process: subprocess.Popen[str]
    url: str
    lines: list[str]


Start = Callable[..., Running]


@pytest.fixture
def start() -> Iterator[Start]:
    """Give a function that starts `ullage observe` on a free loopback port and waits until it listens."""
    with ExitStack() as started:

        def run(*arguments: str, **variables: str) -> Running:
            command = [*ULLAGE, "observe", "--listen-address", "127.0.0.1", "--port", "0", *arguments]
            process = started.enter_context(
                subprocess.Popen(command, env=environ(variables), stderr=subprocess.PIPE, text=True)
            )
            started.callback(end_process, process, signal.SIGKILL, 10)
            lines = []
            for line in process.stderr or ():
                lines.append(line.rstrip("\n"))
                if found := re.search(r" listens on (\S+) and reads ", line):
                    return Running(process, found[1], lines)
            raise AssertionError(f"ullage observe ended: {lines}")

        yield run


def refused(**variables: str) -> str:
    """Run `ullage observe` to its end with status 2, and return what it says."""
    result = subprocess.run(
        [*ULLAGE, "observe"], env=environ(variables), capture_output=True, text=True, timeout=30, check=False
    )
    assert result.returncode == 2
    return result.stderr


class TestRunning:
    def test_queues_and_budget(self, start: Start, redis: Redis, redis_server: RedisServer) -> None:
        """The observer serves queues and budget, shows no password, and stops on SIGTERM with status 0."""
        Queue("shop", connection=redis).enqueue(rq_tasks.succeed)
        url = redis_server.url.replace("redis://", "redis://default:s3cret@")
        redis.config_set("requirepass", "s3cret")
        try:
            running = start(ULLAGE_REDIS_URL=url, ULLAGE_CONNECTION_BUDGET='{"web": 30}', ULLAGE_CONNECTION_LIMIT="99")
            page = httpx.get(f"{running.url}metrics").text
            landing = httpx.get(running.url).text
        finally:
            redis.config_set("requirepass", "")
        assert 'rq_queue_jobs{queue="shop",state="queued"} 1.0' in page
        assert 'ullage_connection_budget{component="web"} 30.0' in page
        assert "ullage_connection_limit 99.0" in page
        assert "ullage_up 1.0" in page
        running.process.send_signal(signal.SIGTERM)
        rest = running.process.communicate(timeout=10)[1]
        assert running.process.returncode == 0
        assert f"and reads {redis_server.url}" in running.lines[-1]
        assert "s3cret" not in "".join(running.lines) + rest + page + landing

    def test_nothing_to_observe(self, start: Start) -> None:
        """Without any setting the observer runs and says what it does not measure."""
        running = start()
        assert "no queue is measured: ULLAGE_REDIS_URL is not set" in running.lines[0]
        assert "ullage_up 1.0" in httpx.get(f"{running.url}metrics").text

    def test_no_service_account(self, start: Start) -> None:
        """Without a service account the observer says so once and serves the rest."""
        running = start(ULLAGE_POD_SELECTOR="app=shop", ULLAGE_CONNECTION_LIMIT="99")
        warnings = [line for line in running.lines if "WARNING" in line]
        assert len(warnings) == 1
        assert "WARNING no Events are written: no service account at /var/run/secrets/" in warnings[0]
        assert "ullage_connection_limit 99.0" in httpx.get(f"{running.url}metrics").text

    @pytest.mark.parametrize(
        "variables", [{}, {"ULLAGE_POD_SELECTOR": "app=shop", "ULLAGE_EVENTS": "off"}], ids=["no-selector", "off"]
    )
    def test_kubernetes_is_imported_for_events_alone(self, variables: dict[str, str]) -> None:
        """The Kubernetes client, with its memory, is loaded when Events are on and not before."""
        code = (
            "import os, sys; from ullage.settings import observe_settings; from ullage.observer.command import build;"
            "build(observe_settings(os.environ)); print('kubernetes' in sys.modules, 'redis' in sys.modules)"
        )
        found = subprocess.run(
            [sys.executable, "-c", code], env=environ(variables), capture_output=True, text=True, check=True
        )
        assert found.stdout == "False False\n"


class TestRefused:
    def test_url(self) -> None:
        """A bad Redis URL is one line without a word of the URL."""
        assert refused(REDIS_URL="http://:s3cret@redis") == (
            "ullage observe: REDIS_URL of 20 characters is not allowed: it takes a URL such as "
            "redis://:password@redis:6379/0, or one of rediss:// or unix://\n"
        )

    def test_option_of_the_url(self) -> None:
        """An option that redis-py does not take is one line, too."""
        said = refused(ULLAGE_REDIS_URL="redis://:s3cret@redis/0?no_such_option=1")
        assert said.splitlines()[-1] == (
            "ullage observe: ULLAGE_REDIS_URL has an option or a part that redis-py does not accept"
        )
        assert "s3cret" not in said

    def test_budget(self) -> None:
        """A budget that is no JSON object of integers is one line."""
        assert refused(ULLAGE_CONNECTION_BUDGET='{"web": "30"}').startswith(
            'ullage observe: ULLAGE_CONNECTION_BUDGET=\'{"web": "30"}\' is not allowed: it takes a JSON object such as'
        )

    def test_missing_extra(self) -> None:
        """Without redis-py the command that installs it is named."""
        code = "import sys; sys.modules['redis'] = None; from ullage.cli import main; sys.exit(main())"
        result = subprocess.run(
            [sys.executable, "-c", code, "observe", "--port", "0"],
            env=environ({"ULLAGE_REDIS_URL": "redis://127.0.0.1:1"}),
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert result.returncode == 2
        assert result.stderr.splitlines()[-1] == (
            "ullage observe: the Python package redis is missing; run: pip install 'ullage[observer]'"
        )


class TestHelp:
    def test_help(self, capsys: pytest.CaptureFixture[str]) -> None:
        """`observe --help` says what it gives, names every variable and shows examples."""
        from ullage.setting import settings_of
        from ullage.settings import ObserveSettings

        with pytest.raises(SystemExit, match="0"):
            main(["observe", "--help"])
        text = capsys.readouterr().out
        for setting in settings_of(ObserveSettings).values():
            assert setting.name in text
        assert "\n  ullage observe --queues high,default --pod-selector app.kubernetes.io/instance=shop\n" in text
