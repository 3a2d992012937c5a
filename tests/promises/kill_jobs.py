"""Jobs that are killed, and the account that they keep of what they do in memory that they share with their killer."""

from __future__ import annotations

import mmap
import os
import random
import time
from typing import Any

# An operation is noted before and after.
BEGUN, DONE, RETURNING, RETURNED, HORSE, GO = range(6)
WORDS = 6
ZEROS = memoryview(bytes(WORDS * 8)).cast("q")
MOST_HELD = 4
POLL_SECONDS = 0.001
MOST_IDLE_SECONDS = 0.03

account = memoryview(mmap.mmap(-1, WORDS * 8)).cast("q")


def _check_out(held: list[Any]) -> None:
    from tests.promises.jobs import engine

    account[BEGUN] += 1
    held.append(engine.raw_connection())
    account[DONE] += 1


def _give_back(held: list[Any]) -> None:
    account[RETURNING] += 1
    held.pop().close()
    account[RETURNED] += 1


def use_connections(seed: int) -> None:
    """Check connections out and in at random until killed, or told to go; then give all back."""
    source = random.Random(seed)
    held: list[Any] = []
    account[HORSE] = os.getpid()
    while not account[GO]:
        if len(held) < MOST_HELD and source.random() < 0.6:
            _check_out(held)
        elif held:
            _give_back(held)
        time.sleep(source.uniform(0.0, MOST_IDLE_SECONDS))  # most kills are to strike between two operations
    while held:
        _give_back(held)


def hold(used: int, idle: int) -> None:
    """Have connections in use and idle in the pool until told to go."""
    held: list[Any] = []
    for _ in range(used + idle):
        _check_out(held)
    for _ in range(idle):
        _give_back(held)
    account[HORSE] = os.getpid()
    while not account[GO]:
        time.sleep(POLL_SECONDS)
    while held:
        _give_back(held)
