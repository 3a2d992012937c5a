"""The pytest plugin `ullage`: with `--ullage-leaks` a test that leaves a connection checked out fails.

pytest loads this module in every project that has ullage installed, so there is nothing here but the switch.
"""

from __future__ import annotations

import pytest

MARKER = "ullage_leaks_allowed"
OPTION = "ullage_leaks"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the switch: an option, and a setting of the same name in the project's pytest configuration."""
    text = "fail tests that leave a SQLAlchemy connection checked out, naming the line that checked it out"
    parser.getgroup("ullage").addoption("--ullage-leaks", action="store_true", dest=OPTION, help=text)
    parser.addini(OPTION, text, type="bool", default=False)


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker, also for runs without the check, and start the check where it is switched on."""
    config.addinivalue_line("markers", f"{MARKER}: this test leaves connections checked out on purpose")
    if config.getoption(OPTION) or config.getini(OPTION):
        try:
            from ullage.leak_check import LeakCheck
        except ImportError as error:
            raise pytest.UsageError(f"--ullage-leaks: {error}; install it, or switch the check off") from None
        config.pluginmanager.register(LeakCheck(), "ullage-leaks")
