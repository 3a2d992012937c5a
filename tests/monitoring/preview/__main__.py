"""`python -m tests.monitoring.preview`: let things go wrong in the shop for two minutes, then draw every dashboard."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from tests.monitoring.dashboards import NAMES, load
from tests.monitoring.live import Watch, open_shop
from tests.monitoring.preview.browser import take_picture
from tests.monitoring.preview.page import fill, write
from tests.servers import ServerError, find_program

PICTURES = Path(__file__).parents[3] / "docs" / "dashboards"
ROUNDS = 3
CALM_SECONDS = 20
STEP_SECONDS = 2


def main() -> int:
    """Draw the pictures and return the exit status."""
    options = _parse_arguments()
    try:
        browser = find_program("chromium", "chromium")
        with open_shop() as watch, watch.trouble.traffic():
            _live_through(watch, options.rounds)
            for name in options.names or NAMES:
                _draw(browser, watch, name, options.directory)
    except ServerError as error:
        print(f"preview: {error}", file=sys.stderr)
        return 1
    return 0


def _live_through(watch: Watch, rounds: int) -> None:
    for number in range(1, rounds + 1):
        print(f"preview: a calm time of {CALM_SECONDS} s, then every fault, round {number} of {rounds}", flush=True)
        time.sleep(CALM_SECONDS)
        for fault in watch.trouble.everything:
            fault()


def _draw(browser: str, watch: Watch, name: str, directory: Path) -> None:
    dashboard = load(name)
    answered = fill(watch, dashboard, watch.window(STEP_SECONDS))
    directory.mkdir(parents=True, exist_ok=True)
    picture = directory / f"{name}.png"
    with tempfile.TemporaryDirectory() as pages:
        page, height = write(Path(pages), answered)
        take_picture(browser, page, height, picture)
    print(f"preview: {picture}", flush=True)


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tests.monitoring.preview", description=__doc__)
    parser.add_argument("names", nargs="*", choices=[*NAMES, []], help="dashboards; default: all")
    parser.add_argument(
        "--directory", type=Path, default=PICTURES, help="where the pictures go; default: docs/dashboards"
    )
    parser.add_argument(
        "--rounds", type=int, default=ROUNDS, help=f"how often everything goes wrong; default: {ROUNDS}"
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
