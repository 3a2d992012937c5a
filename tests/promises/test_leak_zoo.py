"""The leak zoo: every way to leak is named by kind, function and line, and nothing that only looks like one is."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import pytest
import rq.worker
import sqlalchemy

from tests.promises import workers
from tests.promises.conftest import IS_FULL
from tests.promises.leak_zoo import places
from tests.promises.leak_zoo.expect import ATTRIBUTE, Expected
from tests.promises.leak_zoo.worker import MODULES
from tests.promises.readings import Page

pytestmark = [pytest.mark.promise, pytest.mark.timeout(900)]

PACKAGE = "tests.promises.leak_zoo"
POLICIES = ("observe", "reclaim", "strict", "ignore")
KINDS = ("Worker", "SimpleWorker", "SpawnWorker", "WorkerPool", "PerformWorker", "ExecuteWorker")
IN_ONE_PROCESS = ("SimpleWorker", "ExecuteWorker")
# In the ordinary run each policy and each worker comes once.
FEW = {
    ("Worker", "observe"),
    ("SimpleWorker", "reclaim"),
    ("PerformWorker", "strict"),
    ("ExecuteWorker", "observe"),
    ("WorkerPool", "ignore"),
    ("SpawnWorker", "observe"),
}
# In the ordinary run some workers get every so manyth, and those that they clean up after; a spawned work horse imports
# everything anew.
STEPS = {"ExecuteWorker": 4, "WorkerPool": 8, "PerformWorker": 8, "SpawnWorker": 16}
CASES = [(kind, policy) for kind in KINDS for policy in POLICIES if IS_FULL or (kind, policy) in FEW]


@dataclass(frozen=True)
class Animal:
    """A job function and what is expected of it."""

    module: str
    function: Callable[..., Any]
    expected: Expected

    @property
    def name(self) -> str:
        """The function as RQ names it."""
        return f"{PACKAGE}.{self.module}.{self.function.__name__}"


def zoo() -> Iterator[Animal]:
    """Yield the zoo's functions in the order in which they are written."""
    for module in MODULES:
        for function in vars(import_module(f"{PACKAGE}.{module}")).values():
            expected = getattr(function, ATTRIBUTE, None)
            if expected is not None and function.__module__ == f"{PACKAGE}.{module}":
                yield Animal(module, function, expected)


def leaks_of(animal: Animal, kind: str, policy: str) -> Iterator[tuple[str, str, str, str]]:
    """Yield function, site, kind and level of what one animal leaks on a worker of a kind under a policy."""
    expected = animal.expected
    cleaners = {"callback"}
    cleaners |= {"perform"} if kind == "PerformWorker" else set()
    cleaners |= {"execute"} if kind == "ExecuteWorker" else set()
    cleaners |= {"same process"} if kind in IN_ONE_PROCESS else set()
    is_early = policy == "strict" and expected.strict_is_early
    is_ignored = policy == "ignore" and expected.kind == "held_at_job_end"
    if expected.kind and not is_ignored and (is_early or expected.innocent_on not in cleaners):
        for site in expected.sites:
            function = "" if expected.is_anonymous else animal.name
            yield function, site, expected.kind, expected.level


def show(found: dict[tuple[str, ...], float]) -> str:
    """Return leaks as lines."""
    return "".join(f"\n  {value:g} x {' '.join(key)}" for key, value in sorted(found.items()))


@pytest.mark.parametrize(("kind", "policy"), CASES, ids=["-".join(case) for case in CASES])
def test_every_leak_is_named_and_nothing_else_is(kind, policy, redis_server, segments, tmp_path):
    """Each leak counts once with its kind, level, function and line, and what is no leak does not count."""
    if not hasattr(rq.worker, kind) and kind == "SpawnWorker":
        pytest.skip("this RQ has no SpawnWorker")
    queue = workers.new_queue(redis_server.url, f"zoo-{kind}-{policy}-{os.getpid()}")
    animals = list(zoo())
    if kind in STEPS and not IS_FULL:
        animals = [
            a for n, a in enumerate(animals) if n % STEPS[kind] == 0 or f"closed_in_{kind[:7].lower()}" in a.name
        ]
    url = f"sqlite:///{tmp_path}/zoo.db"
    places.Base.metadata.create_all(sqlalchemy.create_engine(url))
    env = workers.environment(
        segments,
        ZOO_DATABASE=url,
        ULLAGE_POLICY=policy,
        ULLAGE_POLICY_OVERRIDES="site:connections.py:take_lock=ignore",
    )
    if kind == "SpawnWorker":
        (tmp_path / "sitecustomize.py").write_text(workers.SITECUSTOMIZE)
        env["PYTHONPATH"] = os.pathsep.join((str(tmp_path), env["PYTHONPATH"]))
    for animal in animals:
        queue.enqueue(animal.name, **animal.expected.enqueue)
    output = workers.run_until_empty(["-m", f"{PACKAGE}.worker", kind, redis_server.url, queue.name], env, queue)

    wanted: dict[tuple[str, ...], float] = {}
    for animal in animals:
        for function, *rest in leaks_of(animal, kind, policy):
            key = (queue.name if function else "", function, *rest)
            wanted[key] = wanted.get(key, 0.0) + animal.expected.runs
    found = workers.unreleased(segments)
    wrong = {key: value for key, value in found.items() if wanted.get(key) != value}
    missing = {key: value for key, value in wanted.items() if found.get(key) != value}
    page = Page.read(segments)
    leaks = sum(value for key, value in wanted.items() if key[-1] != "lingering")
    innocents = sum(not list(leaks_of(animal, kind, policy)) for animal in animals)
    print(
        f"\npromise zoo {kind} {policy}: {len(animals)} jobs, {leaks:g} leaks, {leaks - len(missing):g} right, "
        f"{len(wrong)} wrong; {innocents} innocent; ullage_leaks_total {page.total('ullage_leaks_total'):g} "
        f"{page.by('ullage_leaks_total', 'kind')}"
    )
    assert not wrong, f"reported, and not so:{show(wrong)}\ninstead of:{show(missing)}\n{output[-3000:]}"
    assert not missing, f"not reported:{show(missing)}\n{output[-3000:]}"
    assert page.total("ullage_leaks_total") == leaks
    assert page.total("ullage_dropped_series_total") == 0
    assert "ullage is off" not in output
    assert "ullage: " not in output
    # A job that takes its worker with it is counted by nobody.
    lost = {"os_exit", "killed"} if kind in IN_ONE_PROCESS else set()
    performed = {a.name: float(a.expected.runs) for a in animals if a.function.__name__ not in lost}
    counted = page.by("rq_jobs_total", "function")
    if kind == "SpawnWorker":  # it shares no memory with its work horse: an os._exit(0) looks like RQ's own
        performed.pop(f"{PACKAGE}.endings.os_exit", None)
    assert counted == performed


def test_the_zoo_is_large():
    """The zoo has at least thirty ways, leaking ones and innocent ones of each kind of place."""
    animals = list(zoo())
    leaking = [animal for animal in animals if animal.expected.kind]
    print(f"\npromise zoo: {len(animals)} ways, {len(leaking)} of them leaks, {len(animals) - len(leaking)} innocent")
    assert len(leaking) >= 30
    assert len(animals) - len(leaking) >= 15
