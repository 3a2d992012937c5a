"""Naming the line of user code that checked a connection out."""

from __future__ import annotations

import sys
from pathlib import Path
from types import FrameType

import pytest

from ullage.probe.sites import MAX_FRAMES, Sites


class Names:
    """A Sites whose numbers are looked up again."""

    def __init__(self, *skip_frames: str) -> None:
        self.texts: list[str] = []
        self.sites = Sites(self._intern, skip_frames)

    def _intern(self, text: str) -> float:
        self.texts.append(text)
        return float(len(self.texts))

    def of(self, frame: FrameType | None) -> list[str]:
        """Return the frames that a checkout from `frame` is attributed to, nearest first."""
        return self.texts[int(self.sites.of(frame)) - 1].split("\n")


def run(directory: Path, filename: str, source: str) -> FrameType:
    """Return the frame in which the function `here` of a source file calls back."""
    path = directory / filename
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(source)
    namespace: dict[str, object] = {"frame": lambda: sys._getframe(1)}
    exec(compile(source, str(path), "exec"), namespace)  # the file's code, under its name
    return namespace["here"]()  # type: ignore[operator]


def test_the_nearest_line_of_user_code_is_named_with_its_callers():
    """File, line and function, then up to four callers."""
    names = Names()

    def inner() -> list[str]:
        return names.of(sys._getframe())

    found = inner()
    assert found[0].startswith("tests/probe/test_sites.py:")
    assert "inner" in found[0]
    assert len(found) <= MAX_FRAMES


def test_a_line_is_named_once():
    """The second checkout from a line costs a look-up, and makes no text."""
    names = Names()
    for _ in range(3):
        names.sites.of(sys._getframe())
    assert len(names.texts) == 1


def test_libraries_are_skipped(tmp_path):
    """Frames of the standard library are passed over; an application installed in site-packages is not."""
    import contextlib

    names = Names()

    @contextlib.contextmanager
    def session():
        yield sys._getframe().f_back  # contextlib's frame

    with session() as frame:
        assert "test_libraries_are_skipped" in names.of(frame)[0]
    installed = next(path for path in sys.path if path.endswith("site-packages"))
    code = compile("frame = __import__('sys')._getframe()", f"{installed}/shop/views.py", "exec")
    namespace: dict[str, FrameType] = {}
    exec(code, namespace)
    assert names.of(namespace["frame"])[0].startswith("shop/views.py:1")


@pytest.mark.parametrize("skipped", ["db.py", "shop/db.py", "db.py:here"])
def test_the_users_own_helper_is_skipped(tmp_path, skipped):
    """Every leak points to get_session(): naming the helper attributes them to its callers."""
    frame = run(tmp_path, "shop/db.py", "def here():\n    return frame()\n")
    assert "here" in Names().of(frame)[0]
    assert "run" in Names(skipped).of(frame)[0]


def test_other_functions_of_a_partly_skipped_file_are_named(tmp_path):
    """file.py:function skips that function alone."""
    frame = run(tmp_path, "shop/db.py", "def get():\n    return frame()\ndef here():\n    return get()\n")
    assert "shop/db.py:4 here" in Names("db.py:get").of(frame)[0]


def test_code_made_at_run_time_does_not_grow_the_table(monkeypatch):
    """Beyond the limit a site is `other`, and nothing is kept."""
    monkeypatch.setattr("ullage.probe.sites.MAX_SITES", 100)
    names = Names()
    for number in range(150):
        namespace: dict[str, FrameType] = {}
        exec(compile("frame = __import__('sys')._getframe()", f"/srv/{number}.py", "exec"), namespace)
        names.sites.of(namespace["frame"])
    assert len(names.sites._known) == 100
    assert names.texts[-1] == "other"


def test_a_stack_without_user_code_has_no_site():
    """Nothing to name is number 0."""
    assert Names().sites.of(None) == 0.0
