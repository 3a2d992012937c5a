"""Writers that are killed at random times after their fork, beside a reader that never rests."""

from __future__ import annotations

import gc
import os
import random
import select
import signal
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from sqlalchemy.pool import QueuePool

import ullage
from tests.promises.readings import cells_of, sum_of
from tests.promises.scenarios import run
from tests.promises.scenarios.ledger import CHECKOUT, CLEAN, COLLECTED, HELD, LATE, OVER, Ledger
from tests.promises.scenarios.reader import Reader

# From the fork to the end of a claim, and to well into the operations.
MOST_SECONDS = (0.0006, 0.003)
# A writer whose parent is gone ends itself.
MOST_OPERATIONS = 20_000
NAME = "killed"


class Connection:
    """As little of a DBAPI connection as a pool needs."""

    def rollback(self) -> None:
        """End nothing."""

    def close(self) -> None:
        """Close nothing."""


class Writer:
    """Uses a pool in every way in which a checkout can end, and notes each in the ledger."""

    def __init__(self, ledger: Ledger, seed: int) -> None:
        self.ledger = ledger
        self.random = random.Random(seed)
        self.pool: Any = QueuePool(Connection, pool_size=8, max_overflow=8, logging_name=NAME)
        self.held: list[Any] = []
        self.counted: list[Any] = []

    def run(self) -> None:
        """Do random operations until killed."""
        gc.disable()  # a collection would end a checkout that this writer still holds as open
        self.check_out()
        self.state = self.pool._ullage_state
        steps: list[Callable[[], None]] = [
            *[self.check_out] * 3,
            self.check_in,
            self.hold,
            self.drop,
            self.keep_too_long,
        ]
        for _ in range(MOST_OPERATIONS):
            self.random.choice(steps)()

    def check_out(self) -> None:
        """Take a connection."""
        if len(self.held) + len(self.counted) < 8:
            with self.ledger.note(CHECKOUT):
                self.held.append(self.pool.connect())

    def check_in(self) -> None:
        """Give one back, one that was counted as a leak or not."""
        if self.held:
            with self.ledger.note(CLEAN):
                self.held.pop().close()
        if self.counted:
            with self.ledger.note(LATE):
                self.counted.pop().close()

    def hold(self) -> None:
        """Count one as held at the end of its job."""
        if self.held:
            fairy = self.held.pop()
            slot = self.state.out[fairy._connection_record][0]
            with self.ledger.note(HELD):
                self.state.leaks.count(slot, "held_at_job_end", "job-1")
            self.counted.append(fairy)

    def drop(self) -> None:
        """Forget one, so that Python collects it."""
        if self.held:
            with self.ledger.note(COLLECTED):
                del self.held[-1]

    def keep_too_long(self) -> None:
        """Give one back after the threshold."""
        if self.held:
            fairy = self.held.pop()
            self.state.threshold = -1.0
            with self.ledger.note(OVER):
                fairy.close()
            self.state.threshold = 60.0


def main(directory: str, kills: int, seed: int) -> dict[str, Any]:
    """Kill so many writers, and compare what is served after each with what it had done."""
    with Reader(directory) as reader:
        ledger = Ledger()
        victims = _Victims(ledger, seed)
        assert ullage.install({"ULLAGE_DIR": directory, "ULLAGE_ROLE": "worker"})
        account = _Account(directory, ledger)
        phases = {"claiming": 0, "writing": 0}
        for _ in range(kills):
            account.ledger.clear()
            phases[victims.kill_one()] += 1
            account.compare()
        return {
            "kills": kills,
            **phases,
            **account.found,
            **reader.finish(),
            "files": len(list(Path(directory).glob("*.seg"))),
        }


class _Victims:
    """Forks writers and kills them. A writer says when it lives, which is before its claim, and when it has claimed."""

    def __init__(self, ledger: Ledger, seed: int) -> None:
        self.ledger = ledger
        self.random = random.Random(seed)
        self.signs = os.pipe()
        # Handlers run in the order of their registration: this one before the probe's.
        os.register_at_fork(after_in_child=lambda: os.write(self.signs[1], b"."))

    def kill_one(self) -> str:
        """Fork a writer, kill it at a random time, and say what it was at."""
        seed, seconds = self.random.getrandbits(32), self.random.uniform(0.0, self.random.choice(MOST_SECONDS))
        pid = os.fork()
        if pid == 0:
            self._write(seed)
        try:
            os.read(self.signs[0], 1)
            time.sleep(seconds)
        finally:
            os.kill(pid, signal.SIGKILL)
            _, status = os.waitpid(pid, 0)
        if not os.WIFSIGNALED(status):
            raise RuntimeError(f"the writer ended by itself, with status {status}")
        has_claimed = bool(select.select([self.signs[0]], [], [], 0)[0] and os.read(self.signs[0], 1))
        return "writing" if has_claimed else "claiming"

    def _write(self, seed: int) -> NoReturn:
        try:
            os.write(self.signs[1], b".")
            Writer(self.ledger, seed).run()
        except BaseException:  # noqa: BLE001 - a forked child must not go on as its parent
            traceback.print_exc()
        finally:
            os._exit(1)


class _Account:
    """Follows the totals from kill to kill: what was uncertain at one is settled by the reading after it."""

    def __init__(self, directory: str, ledger: Ledger) -> None:
        self.directory = Path(directory)
        self.ledger = ledger
        self.settled = self._read()
        self.found = {"checkouts": 0.0, "leaks": 0.0, "died": 0.0, "uncertain": 0, "wrong": []}

    def compare(self) -> None:
        """Compare what is served after a kill with what was settled before and the ledger of the life between."""
        now = self._read()
        if self.ledger.uncertain > 1 or now["unreadable"]:
            self._fail(f"{self.ledger.uncertain} operations under way, {now['unreadable']} files unreadable")
        self.found["uncertain"] += self.ledger.uncertain
        for name, (low, high) in {
            "checkouts": self.ledger.checkouts(),
            "waits": self.ledger.checkouts(),
            "uses": self.ledger.returns(),
            "leaks": self.ledger.leaks(),
        }.items():
            grown = now[name] - self.settled[name]
            if not low <= grown <= high:
                self._fail(f"{name} grew by {grown:g}, the truth is {low} to {high}")
        if now["leaks"] != now["leaks_by_site"]:
            self._fail(f"{now['leaks']:g} leaks, {now['leaks_by_site']:g} by site")
        self.settled = now
        self.found.update({name: now[name] for name in ("checkouts", "leaks", "died")})

    def _fail(self, text: str) -> None:
        self.found["wrong"].append(text)

    def _read(self) -> dict[str, float]:
        cells, unreadable = cells_of(self.directory, time.monotonic())
        return {
            "checkouts": sum_of(cells, "sqlalchemy_pool_checkouts_total"),
            "waits": sum_of(cells, "sqlalchemy_pool_checkout_wait_seconds"),
            "uses": sum_of(cells, "sqlalchemy_pool_connection_use_seconds"),
            "leaks": sum_of(cells, "ullage_leaks_total"),
            "leaks_by_site": sum_of(cells, "sqlalchemy_unreleased_sessions_total"),
            "died": sum(values[0] for key, values in cells.items() if key[2:] == ("died_with_process",)),
            "unreadable": sum(unreadable.values()),
        }


if __name__ == "__main__":
    run(main)
