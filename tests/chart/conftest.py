"""Every file of chart/ci, rendered."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.chart import helm
from tests.chart.helm import Objects


@pytest.fixture(params=helm.cases(), ids=lambda path: path.name.removesuffix("-values.yaml"))
def case_file(request: pytest.FixtureRequest) -> Path:
    """Give each file of chart/ci."""
    return request.param


@pytest.fixture
def case(case_file: Path) -> dict[str, Any]:
    """Give the values of each file of chart/ci."""
    return helm.case(case_file)


@pytest.fixture
def objects(case: dict[str, Any]) -> Objects:
    """Give what each file of chart/ci renders to."""
    return helm.render(case)
