"""`ullage dump`: print segments for people, as they are in the file, without adding them up."""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from ullage.claim import SUFFIX
from ullage.outstanding import last_leaks, outstanding
from ullage.segment import Series, Snapshot, UnreadableSegmentError, read_segment
from ullage.segment import layout as at


def run(paths: list[Path]) -> int:
    """Print each file, or each segment of a directory; return 1 when one could not be read, else 0."""
    status = 0
    files = [file for path in paths for file in (sorted(path.glob(f"*{SUFFIX}")) if path.is_dir() else [path])]
    if not files:
        print(f"no *{SUFFIX} files in {', '.join(map(str, paths))}", file=sys.stderr)
        return 1
    for file in files:
        try:
            fd = os.open(file, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
            try:
                print("\n".join(describe(str(file), read_segment(fd), time.monotonic())))
            finally:
                os.close(fd)
        except UnreadableSegmentError as error:
            print(f"segment {file}: {error.reason}: {error}", file=sys.stderr)
            status = 1
        except OSError as error:
            print(f"segment {file}: {error.strerror}", file=sys.stderr)
            status = 1
    return status


def describe(name: str, snapshot: Snapshot, now: float) -> Iterator[str]:
    """Yield the lines for one segment."""
    header, identity = snapshot.header, snapshot.identity
    state = f"live, pid {header[at.PID]:.0f}" if snapshot.is_live else "free"
    yield f"segment {name}: version {at.VERSION}, {state}, adopted {header[at.EPOCH] - 1:.0f} times"
    yield f"  role {identity.role!r}, container {identity.container!r}, uid {identity.uid}"
    yield (
        f"  used: strings {header[at.STRINGS_USED]:.0f} of {at.STRINGS_BYTES} bytes, "
        f"series {header[at.SERIES_USED]:.0f} of {at.SERIES_ROWS}, "
        f"cells {header[at.CELLS_USED]:.0f} of {at.CELL_WORDS}, "
        f"gauges {header[at.GAUGES_USED]:.0f} of {at.GAUGE_WORDS}, slots {header[at.SLOTS_USED]:.0f} of {at.SLOT_COUNT}"
    )
    for series in snapshot.series:
        value = _value(snapshot, series)
        if value:
            labels = ", ".join(f'{k}="{v}"' for k, v in zip(series.metric.labels, series.labels, strict=True))
            yield f"  {series.metric.name}{{{labels}}} {value}"
    for slot in outstanding(snapshot, now):
        what = "waiting" if slot.is_waiting else f"out{', unreleased' if slot.is_unreleased else ''}"
        leak = f", to be counted as {slot.uncounted}" if slot.uncounted else ""
        yield f"  checkout: {what}{leak}, {now - slot.started:.3f} s, {slot.engine} {slot.function} {slot.site}"
    for leak_entry in last_leaks(snapshot):
        yield f"  leak: {leak_entry['kind']} {leak_entry['function']} {leak_entry['site']}"


def _value(snapshot: Snapshot, series: Series) -> str:
    """Return the value as text, '' for a gauge without one."""
    metric = series.metric
    if metric.kind == "gauge":
        gauges = snapshot.gauges
        value = gauges[series.cell - at.GAUGES] if series.cell - at.GAUGES < len(gauges) else math.nan
        return "" if math.isnan(value) else f"{value:g}"
    cells = snapshot.cells[series.cell - at.CELLS : series.cell - at.CELLS + metric.width]
    if metric.kind == "counter":
        return f"{cells[0]:g}" if cells else ""
    return f"count {sum(cells[:-1]):g}, sum {cells[-1]:.6f} s" if cells else ""
