"""What an application answered and printed, and what of it differs from one run to the next by itself."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable
from dataclasses import dataclass, field

# What differs between two runs without ullage; a test proves of each that it does.
DIFFERENT = {
    "date of a response": re.compile(r"(?<=^Date: )[^\r\n]+", re.MULTILINE),
    "time of Gunicorn's lines": re.compile(r"(?<=^\[)\d{4}-\d\d-\d\d \d\d:\d\d:\d\d [+-]\d{4}(?=\])", re.MULTILINE),
    "process in Gunicorn's lines": re.compile(r"(?<=\] \[)\d+(?=\] \[)"),
    "process that Gunicorn names": re.compile(r"(?<=pid: )\d+|(?<=pid:)\d+|(?<=\d \()\d+(?=\)$)", re.MULTILINE),
    "time of Flask's lines": re.compile(r"(?<=^\[)\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}(?=\])", re.MULTILINE),
    "time of Werkzeug's lines": re.compile(r"(?<= - - \[)\d\d/\w+/\d{4} \d\d:\d\d:\d\d(?=\])"),
    "time of RQ's lines": re.compile(r"^\d\d:\d\d:\d\d(?= )", re.MULTILINE),
    "process that RQ names": re.compile(r"(?<=PID )\d+"),
    "time that a job took": re.compile(r"(?<= in )\d+:\d\d:\d\d\.\d+(?=s)"),
}


def normal(text: str) -> str:
    """Return the text without what differs between two runs of one program."""
    for what, pattern in DIFFERENT.items():
        text = pattern.sub(f"<{what}>", text)
    return text


@dataclass
class Transcript:
    """Every answer, output and exit status of a run, in order. `log` is the output that has the application's log."""

    log: str = "stderr"
    steps: list[tuple[str, str]] = field(default_factory=list)

    def add(self, what: str, text: str) -> None:
        """Write down one thing."""
        self.steps.append((what, text))

    def answers(self) -> list[str]:
        """Return the lines of all answers, of exit statuses, and of outputs that have no log, but for the dates."""
        return self._lines(lambda what: not what.endswith(("stderr", self.log)))

    def logged(self) -> list[str]:
        """Return the lines of stderr, and of the log if that is elsewhere, but for the times."""
        return self._lines(lambda what: what.endswith(("stderr", self.log)))

    def errors(self) -> list[str]:
        """Return the lines of stderr, but for the times."""
        return self._lines(lambda what: what.endswith("stderr"))

    def printed(self, program: str) -> str:
        """Return what a program printed on stdout, as it was; the last of that name to end."""
        return [text for what, text in self.steps if what == f"{program} stdout"][-1]

    def commands(self) -> int:
        """Return how many programs were started."""
        return sum(what.endswith("exit status") for what, _ in self.steps)

    def requests(self) -> int:
        """Return how many requests were answered."""
        return sum(what.startswith(("GET ", "POST ")) for what, _ in self.steps)

    def show(self) -> str:
        """Return all of it as it was."""
        return "\n".join(f"{what}: {text}" for what, text in self.steps)

    def _lines(self, is_wanted: Callable[[str], bool]) -> list[str]:
        return [
            f"{what}: {line}"
            for what, text in self.steps
            if is_wanted(what)
            for line in normal(text).splitlines(keepends=True)
        ]


def difference(one: list[str], other: list[str]) -> str:
    """Return the lines that are not in both, '' when they are equal byte for byte."""
    return "".join(difflib.unified_diff(one, other, "without", "with", n=1))


def ours(lines: list[str]) -> list[str]:
    """Return the lines that ullage printed."""
    return [line for line in lines if "ullage" in line]


def without_ours(lines: list[str]) -> list[str]:
    """Return the lines that ullage did not print."""
    return [line for line in lines if "ullage" not in line]
