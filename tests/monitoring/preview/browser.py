"""A headless browser, which takes pictures of a page or returns what its scripts made of it."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

from tests.monitoring.preview.page import WIDTH
from tests.servers import ServerError, owned_command

TIMEOUT_SECONDS = 60
OPTIONS = (
    "--headless=new",
    "--no-sandbox",  # it opens one page, which is ours, and as root it has no sandbox
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--disable-lcd-text",  # gray letters make a file half the size
)


def take_picture(browser: str, page: Path, height: int, picture: Path) -> None:
    """Write the page as a PNG."""
    picture.unlink(missing_ok=True)
    result = _open(browser, page, f"--window-size={WIDTH},{height}", f"--screenshot={picture}")
    if not picture.exists():
        raise ServerError(f"{browser} took no picture of {page}, status {result.returncode}:\n{result.stderr[-2000:]}")


def dump(browser: str, page: Path) -> str:
    """Return the page as its scripts have left it."""
    result = _open(browser, page, "--dump-dom")
    # Without the scripts, which have the words that one looks for.
    return result.stdout.rpartition("</script>")[2]


def _open(browser: str, page: Path, *action: str) -> subprocess.CompletedProcess[str]:
    with tempfile.TemporaryDirectory() as profile:
        return subprocess.run(
            owned_command([browser, *OPTIONS, f"--user-data-dir={profile}", *action, page.as_uri()]),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_SECONDS,
            check=False,
        )
