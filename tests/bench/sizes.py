"""How much is measured: enough for a verdict, or just enough to see that the bench works."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Sizes:
    """Numbers of everything."""

    processes: int = 6
    rounds: int = 40
    sqlite_cycles: int = 200
    network_cycles: int = 50
    requests: int = 40
    job_processes: int = 3
    job_rounds: int = 8
    job_cycles: int = 50
    forks: int = 200
    others: tuple[int, ...] = (0, 64)
    segments: tuple[int, ...] = (64, 1024)
    scrapes: int = 40
    jobs: int = 10_000
    starts: int = 10
    http_scrapes: int = 100
    queued: int = 100_000
    queue_scrapes: int = 100
    interpreters: int = 60


QUICK = Sizes(
    processes=1,
    rounds=2,
    sqlite_cycles=5,
    network_cycles=5,
    requests=5,
    job_processes=1,
    job_rounds=1,
    job_cycles=2,
    forks=3,
    others=(0, 2),
    segments=(2, 4),
    scrapes=3,
    jobs=20,
    starts=1,
    http_scrapes=2,
    queued=100,
    queue_scrapes=3,
    interpreters=1,
)
