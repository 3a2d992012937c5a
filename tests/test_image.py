"""The image: its recipe is clean, has nothing in it that it should not, and installs what the lock says."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
IGNORE = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
SECRETS = re.compile(r"\.(pem|key|p12|kubeconfig)$|^\.env|^\.netrc$|^id_|password", re.IGNORECASE)


def pins(name: str) -> dict[str, str]:
    """Return the versions of a lock file."""
    return dict(re.findall(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)", (ROOT / name).read_text(), re.MULTILINE))


def allowed() -> set[str]:
    """Return what the build may see."""
    return {line.removeprefix("!") for line in IGNORE if line.startswith("!")}


class TestDockerfile:
    def test_hadolint_has_nothing_to_say(self) -> None:
        """hadolint finds nothing, not even style."""
        hadolint = Path(sys.executable).with_name("hadolint")
        done = subprocess.run([hadolint, ROOT / "Dockerfile"], capture_output=True, text=True, check=False)
        assert (done.stdout + done.stderr, done.returncode) == ("", 0)

    def test_the_user_is_a_number(self) -> None:
        """The last stage runs as 10001, which `runAsNonRoot` can check and the chart's podSecurityContext names."""
        last = DOCKERFILE.rpartition("\nFROM ")[2]
        assert re.findall(r"^USER (.+)$", last, re.MULTILINE) == ["10001:10001"]
        assert "runAsUser: 10001" in (ROOT / "chart" / "values.yaml").read_text()

    def test_it_has_two_stages_of_one_base(self) -> None:
        """What builds stays behind, and the environment that it made fits the interpreter that it moves to."""
        bases = re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)
        assert len(bases) == 2
        assert len(set(bases)) == 1
        assert not bases[0].endswith(":latest")

    def test_commands_are_in_exec_form(self) -> None:
        """CMD and ENTRYPOINT have no shell, so that signals arrive."""
        assert all(form.startswith("[") for form in re.findall(r"^(?:CMD|ENTRYPOINT) (.+)$", DOCKERFILE, re.MULTILINE))

    def test_the_label_is_the_charts_app_version(self) -> None:
        """VERSION's default is the appVersion of the chart, and the version of the package."""
        version = re.search(r"^ARG VERSION=(.+)$", DOCKERFILE, re.MULTILINE)[1]
        assert f'appVersion: "{version}"' in (ROOT / "chart" / "Chart.yaml").read_text()
        assert f'version = "{version}"' in (ROOT / "pyproject.toml").read_text()


class TestContext:
    def test_it_is_an_allowlist(self) -> None:
        """.dockerignore begins by leaving everything out; no test, chart or repository gets in."""
        assert IGNORE[0] == "*"
        assert allowed() & {"tests", "chart", ".git", "docs", ".venv", "."} == set()

    def test_it_has_all_that_is_copied(self) -> None:
        """Every COPY from the context finds its source."""
        copied = re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.MULTILINE)
        sources = {source for line in copied for source in line.split()}
        assert sources <= allowed()
        assert all((ROOT / source).exists() for source in sources)

    def test_it_has_no_secret(self) -> None:
        """No file of the context looks like a key, a password or an environment."""
        files = [path for entry in allowed() for path in [ROOT / entry, *(ROOT / entry).rglob("*")]]
        assert [path for path in files if SECRETS.search(path.name)] == []


class TestRequirements:
    def test_they_come_from_the_lock(self) -> None:
        """The image has the versions that the tests ran with; if not: make lock."""
        image, lock = pins("requirements-image.lock"), pins("requirements.lock")
        assert image
        assert image.items() <= lock.items()

    def test_each_has_its_hash(self) -> None:
        """pip installs nothing whose content it cannot check."""
        text = (ROOT / "requirements-image.lock").read_text()
        assert "--require-hashes" in DOCKERFILE
        entries = re.split(r"^(?=[A-Za-z0-9])", text, flags=re.MULTILINE)[1:]
        assert [entry for entry in entries if "--hash=sha256:" not in entry] == []

    def test_no_test_tool_is_in_it(self) -> None:
        """The image has no linter, test runner or build backend."""
        assert pins("requirements-image.lock").keys().isdisjoint({"pytest", "ruff", "mypy", "nox", "hatchling", "pip"})
