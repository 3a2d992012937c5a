"""A connection checked out and in, with ullage's pool probe, with prometheus_client, and with neither."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy.pool import Pool, SingletonThreadPool
from sqlalchemy.pool.base import _ConnectionRecord

from tests.bench.child import run
from tests.bench.paired import Numbers, Switch, Variant, compare
from tests.bench.peer import PoolMetrics
from tests.bench.shop import check_probes, make_engine
from ullage.probe import pool
from ullage.probe.process import start
from ullage.settings import ProbeSettings


def main(segments: Path, databases: Path, peer: Path, url: str, rounds: int, cycles: int) -> dict[str, Numbers]:
    """Return base and added nanoseconds a cycle, by variant."""
    engine = make_engine(url or f"sqlite:///{databases}/shop.db")
    process = start(ProbeSettings(directory=segments, role="web"))
    probe = Switch(lambda: pool.install(process), (Pool, SingletonThreadPool, _ConnectionRecord))

    def cycle() -> None:
        engine.connect().close()

    cycle()  # with the probe, so that it knows the pool
    probe.off()
    peers = {
        "peer": PoolMetrics(engine, with_levels=False),
        "peer_with_levels": PoolMetrics(engine, with_levels=True),
    }
    variants = [
        Variant("control", probe.rewrite, probe.rewrite),
        Variant("ullage", probe.on, probe.off),
        *(Variant(name, metrics.on, metrics.off) for name, metrics in peers.items()),
    ]
    found = compare(cycle, variants, rounds=rounds, cycles=cycles)
    check_probes(process)
    return found


if __name__ == "__main__":
    run(main)
