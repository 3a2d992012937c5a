"""The table of budgets: as text for a terminal, and as Markdown between two markers of a document."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

BEGIN, END = "<!-- bench: begin -->", "<!-- bench: end -->"
HEADINGS = ("what", "measured", "A/A control", "budget", "verdict")
LIBRARIES = ("SQLAlchemy", "PyMySQL", "Flask", "Werkzeug", "gunicorn", "prometheus_client")


class ReportError(Exception):
    """The document has no place for the table."""


@dataclass(frozen=True)
class Row:
    """One budget and what was measured. Rows without a budget are there to be compared with."""

    what: str
    measured: str
    control: str
    budget: str = ""
    is_kept: bool | None = None

    @property
    def cells(self) -> tuple[str, ...]:
        """What the table shows."""
        verdict = {True: "ok", False: "over", None: ""}[self.is_kept]
        return self.what, self.measured, self.control, self.budget, verdict


def as_text(rows: Sequence[Row]) -> str:
    """Return the table for a terminal."""
    lines = [HEADINGS, *(row.cells for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEADINGS))]
    padded = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in lines]
    return "\n".join(line.rstrip() for line in padded)


def as_markdown(rows: Sequence[Row], day: str) -> str:
    """Return the table and the machine as Markdown."""
    lines = [HEADINGS, ("---",) * len(HEADINGS), *(row.cells for row in rows)]
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return f"Measured on {day}: {machine()}.\n\n{table}\n"


def machine() -> str:
    """Return what the numbers depend on."""
    libraries = ", ".join(f"{name} {version(name)}" for name in LIBRARIES)
    cores = f"{os.cpu_count()} cores of {_processor()}"
    kernel = ".".join(platform.release().split(".")[:2])
    return f"{cores}, Linux {kernel}, CPython {platform.python_version()}, {libraries}"


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def write(document: Path, text: str) -> None:
    """Put the text between the markers of the document.

    Raises:
        ReportError: it cannot be read, or does not have the two markers.
    """
    try:
        before, _, rest = document.read_text().partition(BEGIN)
    except OSError as error:
        raise ReportError(f"{document}: {error.strerror}; give the document to --write") from error
    _, marker, after = rest.partition(END)
    if not marker:
        raise ReportError(f"{document}: no line {BEGIN} with a line {END} after it; add them where the table belongs")
    document.write_text(f"{before}{BEGIN}\n{text}{END}{after}")
