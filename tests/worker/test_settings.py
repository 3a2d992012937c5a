"""The worker's settings from the environment and from its options."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from ullage.setting import SettingError
from ullage.settings import worker_settings


class TestSettings:
    def test_defaults(self) -> None:
        """By default the waiting jobs tell what to preload, and there is no heartbeat file."""
        settings = worker_settings({})
        assert (settings.preload, settings.heartbeat_file) == (("auto",), None)

    @pytest.mark.parametrize(
        ("value", "expected"),
        [
            ("none", ()),
            ("shop.web", ("shop.web",)),
            ("shop.web:create_app, auto", ("shop.web:create_app", "auto")),
            ("shop.web:create_app(),shop:App.open", ("shop.web:create_app()", "shop:App.open")),
        ],
    )
    def test_preload(self, value: str, expected: tuple[str, ...]) -> None:
        """Modules, callables and `auto` may be listed; `none` is the empty list."""
        assert worker_settings({"ULLAGE_PRELOAD": value}).preload == expected

    @pytest.mark.parametrize("value", ["shop/web.py", "shop.", ":create_app", "shop:app(1)", "shop,,tasks"])
    def test_refused(self, value: str) -> None:
        """Anything else is refused with the setting's name."""
        with pytest.raises(SettingError, match="ULLAGE_PRELOAD"):
            worker_settings({"ULLAGE_PRELOAD": value})

    def test_flags_win(self) -> None:
        """An option overrides the environment."""
        environ: Mapping[str, str] = {"ULLAGE_PRELOAD": "a", "ULLAGE_HEARTBEAT_FILE": "/a"}
        settings = worker_settings(environ, {"ULLAGE_PRELOAD": "b", "ULLAGE_HEARTBEAT_FILE": "/b"})
        assert (settings.preload, settings.heartbeat_file) == (("b",), Path("/b"))
