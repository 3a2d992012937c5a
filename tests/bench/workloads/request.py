"""A request with one query, through the Gunicorn entry, with the probes and without."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from flask import Flask
from sqlalchemy.pool import Pool, SingletonThreadPool
from sqlalchemy.pool.base import _ConnectionRecord

from tests.bench.child import run
from tests.bench.paired import Numbers, Switch, Variant, compare
from tests.bench.shop import Shop, check_probes, gunicorn_environ, request
from ullage.probe.process import start
from ullage.settings import ProbeSettings
from ullage.wsgi import make_app

POOLS = (Pool, SingletonThreadPool, _ConnectionRecord)


def main(segments: Path, databases: Path, peer: Path, url: str, rounds: int, cycles: int) -> dict[str, Numbers]:
    """Return base and added nanoseconds a request: both probes, and each alone."""
    shop = Shop(url) if url else Shop.on_sqlite(databases)
    sys.modules["tests.bench.served"] = SimpleNamespace(app=shop.app)
    settings = {"ULLAGE_DIR": str(segments), "ULLAGE_ROLE": "web", "ULLAGE_APP": "tests.bench.served:app"}
    served: list[Any] = []
    probes = Switch(lambda: served.append(make_app(settings)), (Flask, *POOLS))
    environ = gunicorn_environ()

    def cycle() -> None:
        request(served[0], environ, 0)

    cycle()  # with the probes, so that they know the pool and the route
    probes.off()
    of_requests, of_pools = probes.part(Flask), probes.part(*POOLS)
    variants = [
        Variant("control", probes.rewrite, probes.rewrite),
        Variant("ullage", probes.on, probes.off),
        Variant("flask", of_requests.on, of_requests.off),
        Variant("pool", of_pools.on, of_pools.off),
    ]
    found = compare(cycle, variants, rounds=rounds, cycles=cycles)
    check_probes(start(ProbeSettings()))
    return found


if __name__ == "__main__":
    run(main)
