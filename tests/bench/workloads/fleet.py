"""Live segments, as many processes would have written them, held by one process until its input ends.

The probes write them, from requests and queries. Each segment has its routes in an order of its own, as in processes
that are asked for different things first, and one connection is out in each.
"""

from __future__ import annotations

import random
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.bench.child import ROOT, MeasurementError, command, environment, run
from tests.bench.shop import ROUTES, Shop, check_probes, gunicorn_environ, measured, request

READY = "ready"
OTHER_FILES = 256


def main(segments: Path, databases: Path, count: int) -> dict[str, int]:
    """Write the segments, say so, and hold them."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    if most < count + OTHER_FILES:
        raise RuntimeError(f"{count} segments need as many open files; ulimit -n allows {most}")
    process = measured(segments)
    shop = Shop.on_sqlite(databases)
    environ = gunicorn_environ()
    held = None
    for number in range(count):
        if number:
            process._claim = None  # its lock stays, so that it looks alive
            process.after_fork_in_child()
        if held is not None:
            held.close()  # in the segment before it stays out
        for route in random.sample(range(ROUTES), ROUTES):
            request(shop.app, environ, route)
        held = shop.engines[0].connect()
        check_probes(process)
    print(READY, flush=True)
    sys.stdin.read()
    return {"segments": count}


@contextmanager
def fleet(segments: Path, databases: Path, count: int) -> Iterator[None]:
    """Keep that many live segments in the directory."""
    if not count:
        yield
        return
    with subprocess.Popen(
        command("fleet", segments=segments, databases=databases, count=count),
        cwd=ROOT,
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdout
        if holder.stdout.readline().strip() != READY:
            raise MeasurementError(f"{count} segments could not be written; the process ended with {holder.wait()}")
        try:
            yield
        finally:
            holder.communicate("")


if __name__ == "__main__":
    run(main)
