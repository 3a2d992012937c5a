"""What the proofs run in a process of its own: each module takes arguments as JSON and prints numbers as JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any


def run(main: Callable[..., dict[str, Any]]) -> None:
    """Run a scenario from the command line."""
    print(json.dumps(main(**json.loads(sys.argv[1]))))
