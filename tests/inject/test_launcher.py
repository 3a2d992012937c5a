"""`ullage-run COMMAND`: PYTHONPATH gets one entry in front, and the command is the process."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

SHELLS = [
    pytest.param(command, id=command[0])
    for command in (("dash",), ("bash", "--posix"), ("busybox", "sh"), ("ksh",), ("zsh", "--emulate", "sh"))
    if shutil.which(command[0])
]
SHOW = 'printf "%s\\n" "${PYTHONPATH-unset}" "$@"'


def launch(launcher: Path | str, *command: str, **options: object) -> subprocess.CompletedProcess[str]:
    """Run the launcher with a given environment and no other."""
    environ = {"PATH": os.environ["PATH"], **options.pop("environ", {})}  # type: ignore[dict-item]
    return subprocess.run(  # type: ignore[call-overload, no-any-return]
        [str(launcher), *command], env=environ, capture_output=True, text=True, check=False, **options
    )


@pytest.fixture
def launcher(volume: Path) -> Path:
    """Give the launcher in the volume."""
    return volume / "ullage-run"


class TestPythonPath:
    """What the command sees."""

    @pytest.mark.parametrize("shell", SHELLS)
    @pytest.mark.parametrize(
        ("given", "wanted"),
        [
            (None, "{site}"),
            ("", "{site}"),
            ("/app", "{site}:/app"),
            ("/app:/app/my lib", "{site}:/app:/app/my lib"),
            ("/otel:{site}", "{site}:/otel:{site}"),
            ("{site}", "{site}"),
            ("{site}:/app", "{site}:/app"),
            ("{site}x:/app", "{site}:{site}x:/app"),
        ],
    )
    def test_what_the_image_has_is_kept(self, launcher, volume, shell, given, wanted):
        """One entry comes in front, once, and without an empty one, which would be the working directory."""
        site = str(volume / "site")
        environ = {} if given is None else {"PYTHONPATH": given.format(site=site)}
        done = launch(shell[0], *shell[1:], str(launcher), "sh", "-c", SHOW, "sh", environ=environ)
        assert done.stdout == wanted.format(site=site) + "\n"
        assert done.stderr == ""

    def test_arguments_arrive_as_they_are(self, launcher):
        """Spaces, quotes, stars, line breaks and empty words."""
        words = ["a b", "'", '"', "*", "$HOME", "", "x\ny", "-c"]
        done = launch(launcher, "sh", "-c", 'shift 0; printf "%s|" "$@"', "sh", *words)
        assert done.stdout == "|".join(words) + "|"

    def test_from_anywhere(self, launcher, volume):
        """By a relative path, by PATH, or as the argument of a shell, from a directory with CDPATH set."""
        site = str(volume / "site")
        show = ("sh", "-c", 'echo "$PYTHONPATH"')
        found = [
            launch("./ullage-run", *show, cwd=volume),
            launch("sh", "ullage-run", *show, cwd=volume),
            launch(f"../{volume.name}/ullage-run", *show, cwd=volume, environ={"CDPATH": "/tmp"}),
            launch("sh", "-c", f'PATH={volume}:$PATH; exec ullage-run "$@"', "sh", *show),
        ]
        assert [done.stdout for done in found] == [f"{site}\n"] * 4
        assert [done.stderr for done in found] == [""] * 4

    @pytest.mark.parametrize("word", ["0", "false", "No", "OFF"])
    def test_switched_off(self, launcher, word):
        """ULLAGE_ENABLED=0 leaves the environment alone."""
        done = launch(launcher, "sh", "-c", SHOW, environ={"ULLAGE_ENABLED": word})
        assert done.stdout == "unset\n"

    def test_without_the_package(self, launcher, tmp_path):
        """A volume without the copy leaves the environment alone."""
        shutil.copy(launcher, tmp_path)
        assert launch(tmp_path / "ullage-run", "sh", "-c", SHOW).stdout == "unset\n"


class TestExec:
    """The launcher is gone when the command runs."""

    def test_same_process_and_status(self, launcher):
        """Process id, signals and exit status are the command's."""
        environ = {"PATH": os.environ["PATH"]}
        with subprocess.Popen(
            [launcher, "sh", "-c", "echo $$; kill -TERM $$"], env=environ, stdout=-1, text=True
        ) as run:
            assert run.stdout is not None
            assert int(run.stdout.read()) == run.pid
        assert run.returncode == -signal.SIGTERM
        assert launch(launcher, "sh", "-c", "exit 7").returncode == 7

    def test_a_command_that_does_not_exist(self, launcher):
        """Status 127, as from every shell, and a line that names it."""
        done = launch(launcher, "no-such-command")
        assert done.returncode == 127
        assert "no-such-command" in done.stderr

    def test_no_command(self, launcher):
        """How to use it, and status 2."""
        done = launch(launcher)
        assert (done.returncode, done.stderr) == (2, "usage: ullage-run COMMAND [ARGUMENT...]\n")

    def test_it_measures(self, launcher, injected):
        """A Python program that it starts is injected, with what the image has on PYTHONPATH."""
        environ = {**injected.plain(), "ULLAGE_DIR": str(injected.segments), "PYTHONPATH": "/app"}
        code = "import sys, sqlalchemy; print(sys.path[1], sqlalchemy.pool.Pool.connect.__code__.co_filename)"
        done = launch(launcher, str(injected.python), "-c", code, environ=environ)
        assert done.stdout == f"/app {injected.volume}/ullage/probe/pool.py\n"
