"""`python -m tests.chart.rendered FOLDER` writes what each file of chart/ci renders to, for other tools."""

from __future__ import annotations

import sys
from pathlib import Path

import yaml

from tests.chart import helm


def write(folder: Path) -> None:
    """Write one file a case."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in helm.cases():
        (folder / path.name).write_text(yaml.safe_dump_all(list(helm.render(helm.case(path))), sort_keys=False))


if __name__ == "__main__":
    write(Path(sys.argv[1]))
