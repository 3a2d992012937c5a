"""What the init container does: a whole copy that everybody can read, or none."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

import ullage
from tests.inject.conftest import Injected
from ullage.inject.copying import CopyError, copy

COPY = (sys.executable, "-m", "ullage", "inject-copy")
STRANGER = 54321


def modes(directory: Path) -> dict[str, int]:
    """Return the permissions of everything in a directory."""
    return {str(path.relative_to(directory)): stat.S_IMODE(path.stat().st_mode) for path in directory.rglob("*")}


class TestCopy:
    """The volume after the init container."""

    def test_layout_and_modes_under_a_tight_umask(self, tmp_path):
        """Readable by every user, directories for bytecode writable by every user, nothing else, whatever the umask."""
        target = tmp_path / "volume"
        target.mkdir()
        done = subprocess.run(
            [*COPY, str(target)], capture_output=True, text=True, check=True, preexec_fn=lambda: os.umask(0o077)
        )
        assert done.stdout.startswith(f"copied ullage {ullage.__version__} (")
        assert done.stdout.endswith(f" files) to {target}\n")
        assert done.stderr == ""
        found = modes(target)
        assert found.pop("ullage-run") == 0o755
        assert {path for path, mode in found.items() if mode == 0o644} >= {
            *("site/sitecustomize.py", "site/usercustomize.py", "site/_ullage_hook.py"),
            *("ullage/__init__.py", "ullage/probe/pool.py", "ullage/segment/writer.py", "ullage/settings.py"),
        }
        for path, mode in found.items():
            wanted = 0o644 if path.endswith((".py", ".typed", "ullage-run")) else 0o755
            if path.endswith("ullage-run"):
                wanted = 0o755
            assert mode == (0o1777 if path.endswith("__pycache__") else wanted), path
        assert sorted(path.name for path in target.iterdir()) == ["site", "ullage", "ullage-run"]
        assert sorted(path.name for path in (target / "site").iterdir() if path.is_file()) == [
            *("_ullage_hook.py", "sitecustomize.py", "usercustomize.py"),
        ]

    def test_only_what_an_application_can_import(self, tmp_path):
        """The observer stays behind, and so does every bytecode file."""
        copy(tmp_path)
        assert not list(tmp_path.rglob("*.pyc"))
        assert not (tmp_path / "ullage" / "observer").exists()

    def test_again_over_another_version(self, tmp_path):
        """Nothing of an earlier copy is left, nor of one that was broken off; other files in the volume stay."""
        copy(tmp_path)
        (tmp_path / "ullage" / "removed_since.py").write_text("")
        (tmp_path / "site" / "__pycache__" / "sitecustomize.cpython-311.pyc").write_text("stale")
        (tmp_path / ".ullage-broken" / "new").mkdir(parents=True)
        (tmp_path / "other").write_text("mine")
        before = modes(tmp_path)
        assert copy(tmp_path).endswith(f" to {tmp_path}, in place of an earlier copy")
        gone = set(before) - set(modes(tmp_path))
        assert gone == {
            *("ullage/removed_since.py", ".ullage-broken", ".ullage-broken/new"),
            "site/__pycache__/sitecustomize.cpython-311.pyc",
        }

    def test_python_m_ullage_inject(self, tmp_path):
        """The same by the module's name."""
        subprocess.run([sys.executable, "-m", "ullage.inject", str(tmp_path / "new" / "volume")], check=True)
        assert (tmp_path / "new" / "volume" / "site" / "sitecustomize.py").is_file()


class TestBytecode:
    """Whoever starts first compiles; who may not, runs all the same."""

    @pytest.fixture
    def as_stranger(self, injected: Injected, own_volume: Path, tmp_path_factory: pytest.TempPathFactory) -> Injected:
        """Run the application under a uid that owns nothing."""
        if os.geteuid() != 0:
            pytest.skip("another uid needs root; run the tests as root to include this one")
        for path in (own_volume, *own_volume.parents):
            if path.is_relative_to(tmp_path_factory.getbasetemp().parent):
                path.chmod(path.stat().st_mode | 0o755)
        injected.segments.chmod(0o777)
        # The virtual environment's own files may be in a directory that is closed to strangers.
        injected.python = Path("/usr/bin/python3")
        return injected

    def start(self, injected: Injected) -> str:
        done = subprocess.run(
            [str(injected.python), "-c", "import os, sys; print(os.getuid(), '_ullage_hook' in sys.modules)"],
            env=injected.environment(),
            user=STRANGER,
            group=STRANGER,
            extra_groups=[],
            cwd="/",
            umask=0o077,
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout + done.stderr

    def test_a_foreign_uid_keeps_its_bytecode(self, as_stranger, own_volume):
        """The application's uid is not the init container's: what it compiles at its first start is kept."""
        assert self.start(as_stranger) == f"{STRANGER} True\n"
        kept = list((own_volume / "site" / "__pycache__").iterdir())
        assert [path.name.partition(".")[0] for path in sorted(kept)] == ["_ullage_hook", "sitecustomize"]
        written = [path.stat().st_mtime_ns for path in kept]
        assert self.start(as_stranger) == f"{STRANGER} True\n"
        assert [path.stat().st_mtime_ns for path in kept] == written

    def test_a_volume_that_is_mounted_read_only(self, as_stranger, own_volume):
        """It compiles at each start, and works."""
        for cache in own_volume.rglob("__pycache__"):
            cache.chmod(0o755)
        assert self.start(as_stranger) == f"{STRANGER} True\n"
        assert not list(own_volume.rglob("*.pyc"))


class TestErrors:
    """What happened, the value, and the next step."""

    def test_a_colon_in_the_path(self, tmp_path):
        """PYTHONPATH could not name it."""
        with pytest.raises(CopyError, match=r"a:b cannot be on PYTHONPATH, .*; choose another"):
            copy(tmp_path / "a:b")

    def test_a_file_in_the_way(self, tmp_path):
        """The command ends with status 2 and one line."""
        (tmp_path / "file").write_text("")
        done = subprocess.run([*COPY, str(tmp_path / "file")], capture_output=True, text=True, check=False)
        assert done.returncode == 2
        assert done.stderr == (
            f"ullage inject-copy: {tmp_path}/file: File exists ({tmp_path}/file); mount a writable emptyDir there\n"
        )

    def test_a_full_volume(self, tmp_path):
        """A copy that does not fit leaves what was there: no half of anything, and no `site`."""
        mount = tmp_path / "small"
        mount.mkdir()
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(mount)], check=False).returncode:
            pytest.skip("mounting a small tmpfs needs root; run the tests as root to include this one")
        try:
            with pytest.raises(CopyError, match="No space left on device"):
                copy(mount)
            assert list(mount.iterdir()) == []
        finally:
            subprocess.run(["umount", str(mount)], check=True)
