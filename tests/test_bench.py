"""`make bench`: that it measures and writes what it says. How fast anything is, it says itself."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.bench.paired import Switch, Variant, compare
from tests.bench.report import BEGIN, END, ReportError, Row, as_text, write
from tests.bench.rows import ROWS
from tests.servers import MariaDB

BENCH = (sys.executable, "-m", "tests.bench")
DOCUMENT = Path(__file__).parents[1] / "docs" / "performance.md"


class TestBench:
    def test_every_row_is_measured_and_written(self, mariadb: MariaDB, tmp_path: Path) -> None:
        """Every budget gets a line with its verdict, on the terminal and between the markers of the document."""
        document = tmp_path / "performance.md"
        document.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
        result = subprocess.run(
            [*BENCH, "--quick", "--database", mariadb.url(), "--write", str(document)],
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        assert result.returncode == 0, result.stdout + result.stderr
        written = document.read_text()
        assert written.startswith(f"before\n{BEGIN}\nMeasured on ")
        assert written.endswith(f"{END}\nafter\n")
        verdicts = re.findall(r"^\| (?!- )(.*?) \|.*\| (?:ok|over) \|$", written, re.MULTILINE)
        assert len(verdicts) == 13
        for what in verdicts:
            assert re.search(rf"^{re.escape(what)} .* (ok|over)$", result.stdout, re.MULTILINE)

    def test_measurement_that_fails(self, tmp_path: Path) -> None:
        """A measurement that fails ends the bench with status 1, a line that says which, and no table."""
        result = subprocess.run(
            [*BENCH, "--quick", "network", "--database", f"sqlite:///{tmp_path}/none/shop.db"],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert result.returncode == 1
        assert "bench: workload checkout ended with status 1" in result.stderr
        assert "verdict" not in result.stdout

    def test_unknown_row(self) -> None:
        """A row that does not exist is named, with those that do."""
        result = subprocess.run([*BENCH, "nothing"], capture_output=True, text=True, timeout=60, check=False)
        assert result.returncode == 2
        assert f"no row 'nothing'; there are {', '.join(ROWS)}" in result.stderr


class _Measured:
    def work(self) -> int:
        return 1


class TestPaired:
    def test_switch(self) -> None:
        """What an installation replaced can be taken off, put back, and stored anew without a change."""

        def replacement(self: _Measured) -> int:
            return 2

        original = _Measured.work
        switch = Switch(lambda: setattr(_Measured, "work", replacement), [_Measured, Row])
        seen = [_Measured().work()]
        for toggle in (switch.off, switch.rewrite, switch.on, switch.part(Row).off, switch.part(_Measured).off):
            toggle()
            seen.append(_Measured().work())
        assert seen == [2, 1, 1, 2, 2, 1]
        assert _Measured.work is original

    def test_installation_that_changes_nothing(self) -> None:
        """A switch that would switch nothing is an error, for both sides would measure the same."""
        with pytest.raises(RuntimeError, match="changed nothing in Row"):
            Switch(lambda: None, [Row])

    def test_compare_finds_what_a_variant_adds(self) -> None:
        """Work that a variant adds is found as added, and the variant is off at the end."""
        extra = [0]

        def cycle() -> None:
            sum(range(100 + extra[0]))

        heavy = Variant("heavy", lambda: extra.__setitem__(0, 10_000), lambda: extra.__setitem__(0, 0))
        found = compare(cycle, [heavy], rounds=5, cycles=20)["heavy"]
        assert found["added"] > 10 * found["base"]
        assert extra == [0]


class TestReport:
    def test_table(self) -> None:
        """A verdict is ok or over, and a row without a budget has none."""
        rows = [
            Row("a", "1 us", "0 us", "<= 2 us", True),
            Row("b", "3 us", "0 us", "<= 2 us", False),
            Row("- c", "9 us", ""),
        ]
        assert as_text(rows).splitlines() == [
            "what  measured  A/A control  budget   verdict",
            "a     1 us      0 us         <= 2 us  ok",
            "b     3 us      0 us         <= 2 us  over",
            "- c   9 us",
        ]

    @pytest.mark.parametrize("text", ["", END + BEGIN, BEGIN], ids=["none", "reversed", "no-end"])
    def test_document_without_a_place(self, tmp_path: Path, text: str) -> None:
        """A document without the two markers in their order is left as it is, and said to lack them."""
        document = tmp_path / "performance.md"
        document.write_text(text)
        with pytest.raises(ReportError, match=r"performance\.md: no line .* add them"):
            write(document, "table")
        assert document.read_text() == text

    def test_published_table_is_complete(self) -> None:
        """docs/performance.md holds a table of a whole run: every budget, with its verdict."""
        table = DOCUMENT.read_text().partition(BEGIN)[2].partition(END)[0]
        assert len(re.findall(r"\| (?:ok|over) \|$", table, re.MULTILINE)) == 13
        assert "1,024 segments" in table
