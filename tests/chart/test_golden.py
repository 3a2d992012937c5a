"""What the chart renders to, in full: a change of it is seen in review."""

from __future__ import annotations

import pytest

from tests.chart import golden


@pytest.mark.parametrize("case", golden.CASES)
def test_the_render_is_as_reviewed(case):
    """The render is the golden file; if it should be another: python -m tests.chart.golden, and read the difference."""
    assert golden.produce(case).splitlines() == (golden.FOLDER / f"{case}.yaml").read_text().splitlines()


def test_every_golden_file_has_its_case():
    """No file is left over."""
    assert {path.stem for path in golden.FOLDER.iterdir()} == set(golden.CASES)
