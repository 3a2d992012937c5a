"""One metric of the table and its samples as the family that prometheus_client writes."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.core import Metric as Family

from ullage import metrics as m
from ullage.tally import Samples

_MAKERS: dict[str, Callable[..., Any]] = {
    "counter": CounterMetricFamily,
    "gauge": GaugeMetricFamily,
    "histogram": HistogramMetricFamily,
}


def family(metric: m.Metric, samples: Samples) -> Family:
    """Return the family of a metric; samples are cells by label values."""
    labels = metric.labels if metric.name in m.WITHOUT_ROLE else ("role", *metric.labels)
    made: Family = _MAKERS[metric.kind](metric.name, metric.help, labels=labels)
    add = made.add_metric  # type: ignore[attr-defined]  # each of the three families has it
    for values, cells in sorted(samples.items()):
        if metric.kind == "histogram":
            add(values, buckets=_cumulated(metric, cells), sum_value=cells[-1])
        else:
            add(values, cells[0])
    return made


def _cumulated(metric: m.Metric, cells: list[float]) -> list[tuple[str, float]]:
    total = 0.0
    buckets = []
    for bound, count in zip((*metric.buckets, math.inf), cells, strict=False):
        total += count
        buckets.append(("+Inf" if bound == math.inf else repr(bound), total))
    return buckets
