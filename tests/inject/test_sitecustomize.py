"""What Python runs at its start: it steps aside for the application's own, and harms nothing."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.inject.conftest import other_pythons
from ullage.inject import copying

USE_A_POOL = """
import sqlalchemy
engine = sqlalchemy.create_engine("sqlite://")
with engine.connect() as connection:
    print("answer", connection.execute(sqlalchemy.text("SELECT 42")).scalar())
"""
STATE = "import json, sys; print(json.dumps([sys.path, sys.argv, sorted(sys.modules)]))"
OWN = "import sys; print('own', __name__, __file__, sys.modules[__name__].__spec__.name)\n"


class TestStart:
    """Nothing happens before a library is imported."""

    def test_a_process_without_the_libraries_is_left_alone(self, injected):
        """No segment, no output; two modules more, and the directory at the end of sys.path is all that is added."""
        done, plain = injected.run(STATE), injected.run_plain(STATE)
        assert done.stderr == ""
        (path, argv, modules), (plain_path, plain_argv, plain_modules) = (
            json.loads(done.stdout),
            json.loads(plain.stdout),
        )
        assert path == [*plain_path, str(injected.volume)]
        assert argv == plain_argv
        assert set(modules) - set(plain_modules) == {"_ullage_hook", "_ullage_sitecustomize"}
        assert set(plain_modules) <= set(modules)
        assert not list(injected.segments.iterdir())

    def test_a_process_with_a_library_is_measured(self, injected):
        """The import of SQLAlchemy installs the pool probe, and the other probes wait for their libraries."""
        found = injected.report(USE_A_POOL)
        assert found["probes"] == {"pool": "installed", "flask": "waiting", "rq": "waiting", "session": "waiting"}
        assert found["package"] == str(injected.volume / "ullage")
        assert [str(path) for path in injected.segments.iterdir()] == [found["segment"]]

    def test_the_applications_own_copy_of_ullage_wins(self, injected):
        """Packages of the application come first, ullage itself included."""
        own = Path(copying.__file__).parents[2]
        found = injected.report(f"import sys; sys.path.insert(0, {str(own)!r})\n{USE_A_POOL}")
        assert found["package"] == str(own / "ullage")
        assert found["probes"]["pool"] == "installed"

    def test_sys_path_set_anew_by_the_application(self, injected):
        """An application that chooses its own sys.path, as executable archives do, is measured nevertheless."""
        code = f"import sys; sys.path = [entry for entry in sys.path if entry != {str(injected.volume)!r}]\n"
        assert injected.report(code + USE_A_POOL)["probes"]["pool"] == "installed"

    def test_switched_off(self, injected):
        """ULLAGE_ENABLED=0: as if ullage were not there, and the reason can be read."""
        done, plain = injected.run(STATE, ULLAGE_ENABLED="0"), injected.run_plain(STATE)
        (path, _, modules), (plain_path, _, plain_modules) = json.loads(done.stdout), json.loads(plain.stdout)
        assert path == plain_path
        assert set(modules) - set(plain_modules) == {"_ullage_sitecustomize"}
        assert injected.report(USE_A_POOL, ULLAGE_ENABLED="0")["reason"] == "ULLAGE_ENABLED=0"
        assert not list(injected.segments.iterdir())

    @pytest.mark.parametrize("word", ["false", "NO", " off "])
    def test_the_words_that_switch_off(self, injected, word):
        """Those that the setting takes."""
        assert injected.report("", ULLAGE_ENABLED=word)["reason"] == f"ULLAGE_ENABLED={word}"

    @pytest.mark.parametrize("flag", ["-I", "-E", "-S"])
    def test_interpreters_that_take_no_injection(self, injected, flag):
        """-I, -E and -S switch it off as they switch off every sitecustomize."""
        done = injected.run("import sys; print(any('ullage' in name for name in sys.modules))", flags=[flag])
        assert (done.returncode, done.stdout, done.stderr) == (0, "False\n", "")


class TestChain:
    """The application's own sitecustomize and usercustomize run as they would without ullage."""

    def test_the_next_sitecustomize_runs(self, injected, write):
        """It is the module `sitecustomize`, with its own file, and its output is what it was."""
        own = write("own", sitecustomize=OWN)
        code = "import sitecustomize; print(sitecustomize.__file__, sitecustomize.__loader__.name)"
        done, plain = injected.run(code, own), injected.run_plain(code, own)
        assert f"own sitecustomize {own}/sitecustomize.py" in plain.stdout
        assert (done.stdout, done.stderr, done.returncode) == (plain.stdout, plain.stderr, plain.returncode)

    def test_there_is_none(self, injected):
        """Nothing is left of ours under the name sitecustomize: there is Python's own, as Debian's has one, or none."""
        code = "import sys; print('sitecustomize' in sys.modules)\nimport sitecustomize; print(sitecustomize.__file__)"
        done, plain = injected.run(code), injected.run_plain(code)
        assert done.stdout == plain.stdout
        assert done.stderr.splitlines()[-1:] == plain.stderr.splitlines()[-1:]

    @pytest.mark.parametrize(
        "body",
        [
            pytest.param("1 / 0\n", id="an error"),
            pytest.param("import nothing_of_that_name\n", id="an import error"),
            pytest.param("raise ImportError('x', name='sitecustomize')\n", id="the error that Python ignores"),
            pytest.param("this is no Python\n", id="a syntax error"),
        ],
    )
    def test_its_exceptions_are_its_own(self, injected, write, body):
        """What it raises is told as without ullage, and the hook waits all the same."""
        own = write("own", sitecustomize=body)
        code = "import sys; print(sys.modules.get('sitecustomize'))"
        done, plain = injected.run(code, own), injected.run_plain(code, own)
        assert (done.stdout, done.stderr, done.returncode) == (plain.stdout, plain.stderr, plain.returncode)
        assert injected.run("import sys; print(type(sys.meta_path[0]).__name__)", own).stdout == "Hook\n"

    def test_an_exit_is_one(self, injected, write):
        """Python does not start, as it would not without ullage."""
        own = write("own", sitecustomize="raise SystemExit(7)\n")
        done, plain = injected.run(USE_A_POOL, own), injected.run_plain(USE_A_POOL, own)
        assert (done.stdout, done.returncode) == (plain.stdout, plain.returncode) == ("", 1)
        assert done.stderr.splitlines()[-1] == plain.stderr.splitlines()[-1] == "SystemExit: 7"

    def test_it_may_import_the_libraries(self, injected, write):
        """A sitecustomize that imports SQLAlchemy has it measured."""
        own = write("own", sitecustomize="import sqlalchemy\n")
        assert injected.report("", own)["probes"]["pool"] == "installed"

    def test_it_may_choose_the_settings(self, injected, write):
        """Settings are read when a library is imported: after the application's sitecustomize."""
        own = write("own", sitecustomize="import os; os.environ['ULLAGE_ENABLED'] = '0'\n")
        assert injected.report(USE_A_POOL, own)["reason"] == "ULLAGE_ENABLED is off"

    def test_usercustomize_runs_too(self, injected, write):
        """Python imports usercustomize by itself, from wherever the application has it."""
        injected.python = Path(sys.executable).resolve()  # a virtual environment has none
        own = write("own", usercustomize=OWN, sitecustomize=OWN)
        packages = json.loads(injected.start(["-c", STATE], injected.plain()).stdout)[0]
        done = injected.run("pass", own, *packages[1:])
        assert [line.split()[:2] for line in done.stdout.splitlines()] == [
            ["own", "sitecustomize"],
            ["own", "usercustomize"],
        ]

    def test_another_injector_that_hides_ours(self, injected, write):
        """A sitecustomize in front that runs no other: ours is found as usercustomize, outside virtual environments."""
        python = injected.python
        injected.python = Path(sys.executable).resolve()
        front = write("front", sitecustomize="print('front')\n")
        libraries = next(python.parents[1].glob("lib/python*/site-packages/libraries.pth")).read_text().strip()
        path = f"{front}:{injected.volume}/site:{libraries}"
        found = injected.report(USE_A_POOL, PYTHONPATH=path)
        assert found["probes"]["pool"] == "installed"

    def test_an_injector_that_runs_ours(self, injected, write):
        """A sitecustomize in front that runs the next one, as Datadog's and New Relic's do: ours, then the user's."""
        front = write(
            "front",
            sitecustomize="""
import os, sys
print("front")
own, here = sys.modules.pop("sitecustomize"), os.path.dirname(__file__)
position = sys.path.index(here)
del sys.path[position]
try:
    import sitecustomize
except ImportError:
    sys.modules["sitecustomize"] = own
finally:
    sys.path.insert(position, here)
""",
        )
        own = write("own", sitecustomize=OWN)
        both = f"{front}:{injected.volume}/site:{own}"
        done = injected.run(USE_A_POOL, PYTHONPATH=both)
        assert [line.split()[0] for line in done.stdout.splitlines()] == ["front", "own", "answer"]
        code = "import sitecustomize; print(sitecustomize.__file__)"
        alone = injected.run(code, PYTHONPATH=both.rpartition(":")[0])
        assert alone.stdout == injected.run_plain(code, front).stdout
        assert injected.report(USE_A_POOL, PYTHONPATH=both)["probes"]["pool"] == "installed"

    @pytest.mark.parametrize("body", [OWN, None], ids=["with the user's", "without"])
    def test_an_injector_that_executes_ours(self, injected, write, body):
        """A sitecustomize in front that executes the next one in its own module, as New Relic's does, goes on."""
        front = write(
            "front",
            sitecustomize="""
import os, sys, warnings
from importlib.machinery import PathFinder
print("front")
sys.path.remove(os.path.dirname(__file__))
spec = PathFinder.find_spec("sitecustomize", path=sys.path)
if spec is not None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        spec.loader.load_module("sitecustomize")
print("goes on")
""",
        )
        own = write("own", **({"sitecustomize": body} if body else {"other": ""}))
        path = f"{front}:{injected.volume}/site:{own}"
        done = injected.run(USE_A_POOL, PYTHONPATH=path)
        assert done.stderr == ""
        wanted = ["front", *(["own"] if body else []), "goes", "answer"]
        assert [line.split()[0] for line in done.stdout.splitlines()] == wanted
        assert injected.report(USE_A_POOL, PYTHONPATH=path)["probes"]["pool"] == "installed"


class TestDamage:
    """Whatever is wrong with the volume, the application runs, and at most one line says that it is not measured."""

    @pytest.mark.parametrize(
        ("path", "text"),
        [
            ("site", None),
            ("site/_ullage_hook.py", None),
            ("site/_ullage_hook.py", "raise SystemExit(3)"),
            ("site/_ullage_hook.py", "raise KeyboardInterrupt"),
            ("ullage", None),
            ("ullage/probe/install.py", None),
            ("ullage/probe/install.py", "import nothing_of_that_name"),
            ("ullage/probe/process.py", "this is no Python"),
            ("ullage/probe/pool.py", "1 / 0"),
            ("ullage/segment/layout.py", "raise RuntimeError('broken')"),
        ],
    )
    def test_a_damaged_copy(self, injected, own_volume, path, text):
        """The answer is the same, and so is the exit status."""
        damaged = own_volume / path
        if text is None:
            damaged.rename(own_volume / "gone")
        else:
            damaged.write_text(text)
        done = injected.run(USE_A_POOL)
        assert (done.returncode, done.stdout) == (0, "answer 42\n")
        assert done.stderr.count("\n") == (0 if path.startswith("site") else 1)
        assert done.stderr.startswith("ullage" if done.stderr else "")

    def test_no_segment_directory(self, injected):
        """One line, the reason in the report, and the application's answer."""
        done = injected.run(USE_A_POOL, ULLAGE_DIR="/nowhere")
        assert (done.returncode, done.stdout) == (0, "answer 42\n")
        assert done.stderr.count("\n") == 1
        found = injected.report(USE_A_POOL, ULLAGE_DIR="/nowhere")
        assert found["segment"] == ""
        assert "No such file or directory" in found["problem"]

    def test_closed_standard_streams(self, injected, own_volume):
        """A daemon without stderr starts, and nothing of ours is written to stdout."""
        (own_volume / "ullage" / "probe" / "install.py").unlink()
        command = f'exec "{injected.python}" -c "$0" 2>&-'
        done = subprocess.run(
            ["sh", "-c", command, USE_A_POOL], env=injected.environment(), capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stdout) == (0, "answer 42\n")

    def test_an_unrelated_module_named_ullage(self, injected, write):
        """An application may have a module of that name: it keeps it, and is not measured."""
        own = write("own", ullage="print('mine')\n")
        done = injected.run(USE_A_POOL + "import ullage", own)
        assert (done.returncode, done.stdout.split()) == (0, ["mine", "answer", "42"])
        assert done.stderr.count("\n") == 1


class TestOtherPythons:
    """Interpreters that ullage does not support start and say once that they are not measured."""

    LIBRARY = "VERSION = 1\n"

    @pytest.mark.parametrize("name", ["sitecustomize.py", "hook.py"])
    def test_old_interpreters_can_read_the_files(self, name):
        """What runs before the version is known is written for Python 3.8."""
        path = Path(copying.__file__).with_name(name)
        assert ast.parse(path.read_text(), feature_version=(3, 8))

    @pytest.mark.parametrize("python", other_pythons(), ids=str)
    def test_another_interpreter(self, injected, write, python):
        """It runs the application's sitecustomize and the application; a line on stderr if it is too old."""
        own = write("own", sitecustomize="print('own')\n", sqlalchemy=self.LIBRARY)
        version = subprocess.run(
            [python, "-c", "import sys; print(sys.version_info[:2])"], capture_output=True, text=True
        )
        if version.returncode:
            pytest.skip(f"{python} does not run")
        injected.python = python
        done = injected.run("print(1)", own)
        assert (done.returncode, done.stdout, done.stderr) == (0, "own\n1\n", "")
        done = injected.run("import sqlalchemy; print(sqlalchemy.VERSION)", own)
        assert (done.returncode, done.stdout) == (0, "own\n1\n")
        if (3, 8) <= ast.literal_eval(version.stdout) < (3, 10):
            assert done.stderr.startswith("ullage is off: it needs CPython 3.10 or later, and this is cpython 3.")
            assert done.stderr.count("\n") == 1
        elif ast.literal_eval(version.stdout) < (3, 8):
            assert done.stderr == ""
