"""Adopters and writers that are killed at each instruction in turn: a tracing function counts, and kills."""

from __future__ import annotations

import os
import random
import signal
import struct
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import ullage
from tests.promises.readings import cells_of
from tests.promises.scenarios import run
from tests.promises.scenarios.operations import IDENTITY, OPERATIONS, Operation
from ullage.claim import claim

PACKAGE = str(Path(ullage.__file__).parent) + os.sep
MOST_WRONG = 20
Cells = dict[tuple[str, ...], list[float]]


def main(directory: str, kills: int, seed: int) -> dict[str, Any]:
    """For each operation, kill it at every instruction, or at so many as `kills` allows; 0 is all."""
    random_source = random.Random(seed)
    found: dict[str, Any] = {}
    for operation in OPERATIONS:
        scene = _Scene(Path(directory), operation)
        stride = max(scene.instructions // kills, 1) if kills else 1
        chosen = range(random_source.randint(1, stride), scene.instructions + 1, stride)
        for instruction in chosen:
            scene.kill_at(instruction)
        found[operation.name] = {
            "instructions": scene.instructions,
            "kills": len(chosen),
            "wrong": scene.wrong[:MOST_WRONG],
        }
    return found


class _Scene:
    """One operation on one directory, brought back to its first state before each run."""

    def __init__(self, directory: Path, operation: Operation) -> None:
        self.directory = directory
        self.operation = operation
        self.wrong: list[str] = []
        self._clear()
        operation.prepare(directory)
        self.files = {path: path.read_bytes() for path in directory.iterdir()}
        self.before = self._read(0)
        self._run(0)
        self._read(0)
        self.instructions = self._run(0)  # with the caches filled that every later child inherits

    def kill_at(self, instruction: int) -> None:
        """Run the operation in a child that ends there, and compare what is served before and after the next claim."""
        self._run(instruction)
        dead = self._read(instruction)
        claim(self.directory, IDENTITY, 60.0).abandon()
        adopted = self._read(instruction)
        if dead != adopted:
            changed = {
                key: (dead.get(key), adopted.get(key)) for key in dead | adopted if dead.get(key) != adopted.get(key)
            }
            self.wrong.append(f"instruction {instruction}: the adopter changed {changed}")
        complaint = self.operation.judge(self.before, adopted)
        if complaint:
            self.wrong.append(f"instruction {instruction}: {complaint}")

    def _run(self, instruction: int) -> int:
        """Run the operation in a child, killed before that instruction; return how many it has when that is 0."""
        self._clear()
        for path, data in self.files.items():
            path.write_bytes(data)
        answer, answer_end = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                operation = self.operation.begin(self.directory)  # and kept, with what it has checked out
                os.write(answer_end, struct.pack("q", _trace(operation, instruction)))
                os._exit(0)
            except BaseException:  # noqa: BLE001 - a forked child must not go on as its parent
                traceback.print_exc()
            finally:
                os._exit(1)
        os.close(answer_end)
        with os.fdopen(answer, "rb") as pipe:
            data = pipe.read()
        _, status = os.waitpid(pid, 0)
        # An operation that takes its time from a clock or its sites from a cache has not always as many instructions.
        is_as_wanted = status == 0 if data else os.WTERMSIG(status) == signal.SIGKILL and instruction
        if not is_as_wanted:
            raise RuntimeError(f"{self.operation.name} at {instruction}: status {status}")
        return struct.unpack("q", data)[0] if data else instruction

    def _read(self, instruction: int) -> Cells:
        cells, unreadable = cells_of(self.directory, time.monotonic())
        if unreadable:
            self.wrong.append(f"instruction {instruction}: unreadable {unreadable}")
        return {key: values for key, values in cells.items() if any(values)}

    def _clear(self) -> None:
        for path in self.directory.iterdir():
            path.unlink()


def _trace(work: Callable[[], object], last: int) -> int:
    """Call `work`, killing this process before instruction `last` of this package's code; return their number."""
    counted = 0

    def enter(frame: FrameType, _event: str, _arg: object) -> Any:
        if not frame.f_code.co_filename.startswith(PACKAGE):
            return None
        frame.f_trace_opcodes = True
        frame.f_trace_lines = False
        return count

    def count(_frame: FrameType, event: str, _arg: object) -> Any:
        nonlocal counted
        if event == "opcode":
            counted += 1
            if counted == last:
                os.kill(os.getpid(), signal.SIGKILL)
        return count

    sys.settrace(enter)
    try:
        work()
    finally:
        sys.settrace(None)
    return counted


if __name__ == "__main__":
    run(main)
