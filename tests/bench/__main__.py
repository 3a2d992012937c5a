"""`python -m tests.bench`: measure every budget, print the table, and write it into docs/performance.md if asked to."""

from __future__ import annotations

import argparse
import dataclasses
import sys
import time
from contextlib import ExitStack
from pathlib import Path

from tests.bench.child import ROOT, MeasurementError
from tests.bench.report import ReportError, Row, as_markdown, as_text, machine, write
from tests.bench.rows import ON_NETWORK, ROWS
from tests.bench.sizes import QUICK, Sizes
from tests.servers import MariaDB, ServerError

DOCUMENT = ROOT / "docs" / "performance.md"


def main() -> int:
    """Measure, and return 0 unless a measurement failed: a budget that is not kept is a line in the table."""
    options = _parse_arguments()
    sizes = QUICK if options.quick else Sizes()
    if options.jobs:
        sizes = dataclasses.replace(sizes, jobs=options.jobs)
    try:
        rows = _measure(options.rows, sizes, options.database)
        print(f"\n{machine()}\n\n{as_text(rows)}")
        if options.write:
            write(options.write, as_markdown(rows, time.strftime("%Y-%m-%d")))
    except (MeasurementError, ReportError, ServerError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    return 0


def _measure(names: list[str], sizes: Sizes, database: str) -> list[Row]:
    rows: list[Row] = []
    with ExitStack() as owner:
        if not database and ON_NETWORK.intersection(names):
            print("bench: starting MariaDB", flush=True)
            database = owner.enter_context(MariaDB()).url()
        for name in names:
            print(f"bench: measuring {name}", flush=True)
            rows += ROWS[name](sizes, database)
    return rows


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tests.bench", description=__doc__)
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"which to measure, of {', '.join(ROWS)}; default: all")
    parser.add_argument("--jobs", type=int, help=f"forked jobs of the jobs row; default: {Sizes().jobs}")
    parser.add_argument("--database", default="", metavar="URL", help="a database server to use instead of one's own")
    parser.add_argument("--quick", action="store_true", help="measure next to nothing, to see that it works")
    parser.add_argument(
        "--write",
        nargs="?",
        type=Path,
        const=DOCUMENT,
        metavar="FILE",
        help="put the table between the markers of a document; default: docs/performance.md",
    )
    options = parser.parse_args()
    unknown = [name for name in options.rows if name not in ROWS]
    if unknown:
        parser.error(f"no row {unknown[0]!r}; there are {', '.join(ROWS)}")
    options.rows = options.rows or list(ROWS)
    return options


if __name__ == "__main__":
    sys.exit(main())
