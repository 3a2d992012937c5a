"""How a Python process was started, by its command line and environment."""

from __future__ import annotations

import ast
import os
import sys
from pathlib import Path

import pytest

from tests.promises.injected.environments import ROOT
from ullage.doctor import trial
from ullage.doctor.libraries import SUPPORT
from ullage.doctor.startup import executable_of, flags_of


@pytest.mark.parametrize(
    ("command", "flags"),
    [
        ("python app.py", ""),
        ("python -I app.py", "I"),
        ("python -sEm gunicorn -S", "Es"),
        ("python -u -X importtime -S app.py -I", "S"),
        ("python -Xutf8 -W error -Werror -E -c pass", "E"),
        ("python -m app -I", ""),
        ("python - -I", ""),
        ("gunicorn: master [shop:app]", ""),
        ("python", ""),
    ],
)
def test_flags(command, flags):
    """Flags are Python's up to its script, module or code, alone or in one word."""
    assert flags_of(command.split(" ")) == tuple(flags)


def test_an_old_interpreter_can_be_tried():
    """What is run in the application's interpreter is written for Python 3.8, for it to say that it is too old."""
    assert ast.parse(Path(trial.__file__).read_text(), feature_version=(3, 8))


def test_the_interpreter_of_a_virtual_environment(tmp_path):
    """It is found by the name that it was started by: absolute, on PATH, or by VIRTUAL_ENV for a renamed process."""
    python = tmp_path / "bin" / "python"
    python.parent.mkdir()
    python.symlink_to(Path(sys.executable).resolve())
    running = os.path.realpath(sys.executable)
    assert executable_of([str(python), "app.py"], {}, running) == str(python)
    assert executable_of(["python", "app.py"], {"PATH": str(python.parent)}, running) == str(python)
    assert executable_of(["gunicorn: master"], {"VIRTUAL_ENV": str(tmp_path)}, running) == str(python)
    assert executable_of(["gunicorn: master"], {}, "/usr/bin/python9") == "/usr/bin/python9"


def test_supported_versions_are_those_of_the_project():
    """What the doctor takes for new is what the project's own requirements leave out."""
    requirements = (ROOT / "pyproject.toml").read_text()
    for name in ("sqlalchemy", "flask", "rq"):
        untried = ".".join(map(str, SUPPORT[name].untried))
        assert f'"{name}>=' in requirements
        assert f",<{untried}" in requirements.partition(f'"{name}>=')[2].partition('"')[0]
