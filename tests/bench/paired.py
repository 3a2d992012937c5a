"""What a switch adds: it is toggled in one process, in short blocks, so that both sides see the same machine."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable
from copy import copy
from dataclasses import dataclass
from statistics import median
from typing import Any

# The interpreter specializes bytecode by the classes that it meets; after a change it takes 53 misses to do so again.
WARM_UP = 100

Cycle = Callable[[], object]
Numbers = dict[str, float]


class Switch:
    """What an installation changed in some classes, to be taken off and put back."""

    def __init__(self, install: Callable[[], object], kinds: Iterable[type]) -> None:
        before = {kind: dict(vars(kind)) for kind in kinds}
        install()
        self._changed = [
            (kind, name, before[kind][name], value)
            for kind in before
            for name, value in list(vars(kind).items())
            if name in before[kind] and before[kind][name] is not value
        ]
        if not self._changed:
            raise RuntimeError(f"{install} changed nothing in {', '.join(kind.__name__ for kind in before)}")

    def part(self, *kinds: type) -> Switch:
        """Return a switch for some of the classes alone."""
        found = copy(self)
        found._changed = [changed for changed in self._changed if changed[0] in kinds]
        return found

    def on(self) -> None:
        """Put it back."""
        for kind, name, _, value in self._changed:
            setattr(kind, name, value)

    def off(self) -> None:
        """Take it off."""
        for kind, name, original, _ in self._changed:
            setattr(kind, name, original)

    def rewrite(self) -> None:
        """Store what is there once more: the control, which does what `on` and `off` do and switches nothing."""
        for kind, name, _, _ in self._changed:
            setattr(kind, name, getattr(kind, name))


@dataclass(frozen=True)
class Variant:
    """Something to compare with its absence. At the start it is off."""

    name: str
    on: Callable[[], Any]
    off: Callable[[], Any]


def compare(cycle: Cycle, variants: list[Variant], *, rounds: int, cycles: int) -> dict[str, Numbers]:
    """Return, by variant, nanoseconds of CPU time a cycle: `base` without it, and `added` by it."""
    pairs: dict[str, list[tuple[float, float]]] = {variant.name: [] for variant in variants}
    for _ in range(rounds):
        for variant in random.sample(variants, len(variants)):
            pairs[variant.name].append(_pair(cycle, variant, cycles))
    return {
        name: {
            "base": median(without for without, _ in measured),
            "added": median(with_it - without for without, with_it in measured),
        }
        for name, measured in pairs.items()
    }


def _pair(cycle: Cycle, variant: Variant, cycles: int) -> tuple[float, float]:
    without = with_it = 0.0
    for is_on in random.sample((True, False), 2):
        if is_on:
            variant.on()
            with_it = _block(cycle, cycles)
            variant.off()
        else:
            without = _block(cycle, cycles)
    return without, with_it


def _block(cycle: Cycle, cycles: int) -> float:
    for _ in range(WARM_UP):
        cycle()
    started = time.process_time_ns()
    for _ in range(cycles):
        cycle()
    return (time.process_time_ns() - started) / cycles
