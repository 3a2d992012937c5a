"""The migration Job, and the waits around it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from typing import Any

import pytest

from tests.chart import helm
from tests.chart.environment import container_of, merged, resolve, secrets_of

VALUES: dict[str, Any] = {"database": {"host": "db.example"}, "redis": {"host": "redis.example"}}
WAIT = helm.CHART / "files" / "wait_for_database.py"


def job_name(revision: int = 1, release: str = helm.RELEASE, **migrations: Any) -> str:
    """Return the name of the migration Job."""
    objects = helm.render(merged(VALUES, {"migrations": migrations}), revision=revision, release=release)
    return objects.one("Job")["metadata"]["name"]


class TestJob:
    def test_is_another_in_each_revision(self):
        """A Job cannot be changed, so every revision has its own, and none is a hook that --wait could not see."""
        assert (job_name(1), job_name(12)) == ("shop-ullage-migrate-r1", "shop-ullage-migrate-r12")
        annotations = helm.render(VALUES).one("Job")["metadata"].get("annotations", {})
        assert "helm.sh/hook" not in annotations

    def test_has_the_suffix_that_is_given(self):
        """Where every revision renders as 1, the image's tag takes its place, as a name may have it."""
        assert job_name(nameSuffix="v1.2_RC") == "shop-ullage-migrate-v1-2-rc"

    def test_has_a_name_that_fits(self):
        """The longest release and suffix give a name of at most 63 characters, still one for each revision."""
        names = {job_name(revision, release="r" * 53, nameSuffix="s" * 30) for revision in (1, 2)}
        names |= {job_name(revision, release="r" * 53) for revision in (1, 2)}
        assert max(map(len, names)) <= 63
        assert len(names) == 3

    def test_keeps_the_log_of_a_failure(self):
        """A failed pod is kept, and a drained node's is no failure."""
        job = helm.render(VALUES).one("Job")["spec"]
        assert job["template"]["spec"]["restartPolicy"] == "Never"
        assert (job["backoffLimit"], job["activeDeadlineSeconds"], job["ttlSecondsAfterFinished"]) == (2, 600, 86400)
        assert job["podFailurePolicy"]["rules"][0]["action"] == "Ignore"

    def test_may_be_kept_for_ever(self):
        """Without a time to live the Job stays, for tools that would run a missing one again."""
        assert (
            "ttlSecondsAfterFinished"
            not in helm.render(merged(VALUES, {"migrations": {"ttlSecondsAfterFinished": None}})).one("Job")["spec"]
        )

    def test_holds_one_connection(self):
        """The migration and those that wait for it have pools of one connection."""
        objects = helm.render(VALUES)
        for container in (
            container_of(objects, "Job", "migration", "migration"),
            container_of(objects, "Deployment", "web", "wait-for-schema"),
        ):
            environment = resolve(container, secrets_of(objects))
            assert (environment["DB_POOL_SIZE"], environment["DB_MAX_OVERFLOW"]) == ("1", "0")

    def test_is_left_out(self):
        """Without migrations there is no Job, and nothing waits."""
        objects = helm.render(merged(VALUES, {"migrations": {"enabled": False}}))
        assert objects.of("Job") == []
        assert "wait-for-schema" not in json.dumps(objects)


class TestWaitForSchema:
    @pytest.mark.parametrize("component", ["web", "worker"])
    def test_runs_the_code_that_waits(self, component):
        """Each pod waits with its own image, environment and variables until the schema is its code's."""
        extra = [{"name": "SECRET_KEY", "value": "x"}]
        values = merged(VALUES, {"web": {"extraEnv": extra}, "workerDefaults": {"extraEnv": extra}})
        container = container_of(helm.render(values), "Deployment", component, "wait-for-schema")
        assert container["command"] == ["python", "-m", "app.migrate", "--wait", "600"]
        environment = resolve(container, {})
        assert environment["DATABASE_URL"].startswith("mysql+pymysql://app@db.example:3306/app")
        assert environment["SECRET_KEY"] == "x"

    def test_is_left_out(self):
        """Without a command nothing waits, and the Job still runs."""
        objects = helm.render(merged(VALUES, {"migrations": {"waitCommand": []}}))
        assert "wait-for-schema" not in json.dumps(objects)
        assert objects.one("Job")


def wait_environment(values: dict[str, Any], secrets: dict[str, dict[str, str]]) -> dict[str, str]:
    """Return what the wait for the database starts with."""
    container = container_of(helm.render(values), "Job", "migration", "wait-for-database")
    assert container["command"] == ["python", "-c", WAIT.read_text()]
    return resolve(container, secrets)


def wait_for_database(environment: dict[str, str], **changes: str) -> subprocess.CompletedProcess[str]:
    """Run the wait as the container does."""
    return subprocess.run(
        [sys.executable, "-c", WAIT.read_text()],
        env={"PATH": os.environ["PATH"], **environment, **changes},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


class TestWaitForDatabase:
    @pytest.fixture
    def listening(self):
        """Give the port of a server that accepts connections."""
        with socket.create_server(("127.0.0.1", 0)) as server:
            yield server.getsockname()[1]

    def test_ends_when_the_port_answers(self, listening):
        """Host and port of the values are connected to."""
        values = merged(VALUES, {"database": {"host": "127.0.0.1", "port": listening}})
        done = wait_for_database(wait_environment(values, {}))
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout == f"wait-for-database: 127.0.0.1:{listening} accepts connections\n"

    @pytest.mark.parametrize("key", ["urlKey", "hostKey"])
    def test_reads_the_host_from_a_secret(self, listening, key):
        """A host, or a URL with a host, may be in the user's Secret."""
        url = f"mysql+pymysql://user:p%40ss@127.0.0.1:{listening}/app"
        existing = {"name": "theirs", key: key}
        values = merged(VALUES, {"database": {"host": "", "port": listening, "existingSecret": existing}})
        done = wait_for_database(wait_environment(values, {"theirs": {"urlKey": url, "hostKey": "127.0.0.1"}}))
        assert done.stdout == f"wait-for-database: 127.0.0.1:{listening} accepts connections\n"

    def test_gives_up_before_the_job_does(self, listening):
        """Its time is a third of the Job's, and its end names the address and what to look at."""
        environment = wait_environment(VALUES, {})
        assert environment["WAIT_SECONDS"] == "200"
        done = wait_for_database(environment, WAIT_SECONDS="0", WAIT_HOST="127.0.0.1", WAIT_PORT="1")
        assert done.returncode == 1
        assert done.stderr.startswith("wait-for-database: 127.0.0.1:1 did not answer within 0 s: ")
        assert done.stderr.endswith("; check database.host, and that a NetworkPolicy lets this pod reach it\n")

    def test_shows_no_part_of_a_broken_url(self):
        """A password that was not encoded is not repeated."""
        done = wait_for_database({"WAIT_SECONDS": "0", "WAIT_URL": "mysql+pymysql://user:hush/hush@db:3306/app"})
        assert done.returncode == 1
        assert "percent-encode the password's reserved characters" in done.stderr
        assert "hush" not in done.stdout + done.stderr

    def test_has_nothing_to_wait_for_in_a_file(self):
        """A URL without a host, such as SQLite's, is no reason to fail."""
        done = wait_for_database({"WAIT_SECONDS": "0", "WAIT_URL": "sqlite:////data/app.db"})
        assert (done.returncode, done.stderr) == (0, "")
