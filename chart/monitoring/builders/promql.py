"""The PromQL that the panels share: every selector narrowed by the dashboard's variables."""

from __future__ import annotations

# `.*` for All of the first two: they also match where Prometheus adds no such label (outside of Kubernetes).
SCOPE = 'namespace=~"$namespace",app_kubernetes_io_instance=~"$release",job=~"$job",instance=~"$instance"'


def select(metric: str, *matchers: str) -> str:
    """Return the selector of a metric within the dashboard's variables."""
    return f"{metric}{{{','.join([*matchers, SCOPE])}}}"


def total(metric: str, *matchers: str, by: str = "") -> str:
    """Return the sum of a gauge."""
    return f"sum{_by(by)} ({select(metric, *matchers)})"


def highest(metric: str, *matchers: str, by: str = "") -> str:
    """Return the maximum of a gauge."""
    return f"max{_by(by)} ({select(metric, *matchers)})"


def rate(metric: str, *matchers: str, by: str = "", over: str = "$__rate_interval") -> str:
    """Return a counter's rate; a table shows the rate over the dashboard's whole `$__range`."""
    return f"sum{_by(by)} (rate({select(metric, *matchers)}[{over}]))"


def increase(metric: str, *matchers: str, by: str = "") -> str:
    """Return how much counters that start at 0 rose around each point."""
    return f"sum{_by(by)} (increase({select(metric, *matchers)}[$__rate_interval]))"


def happened(metric: str, *matchers: str, by: str = "", within: str = "$__interval") -> str:
    """Return the exact number of events in each step, for bars that do not overlap.

    Not increase(), for the reasons that counted() has. A series is taken as born, and not as new to Prometheus, where
    its exporter was there a step before.
    """
    series = select(metric, *matchers)
    born = f"{series} * 0 and on (job, instance) {select('ullage_up')} offset {within}"
    return f"sum{_by(by)} (clamp_min({series} - ({series} offset {within} or {born}), 0))"


def counted(metric: str, *matchers: str, by: str = "") -> str:
    """Return the exact number of events in the dashboard's time range.

    Not increase(): it misses the event that a series is born with, which for a leak by its line is the first, and
    extrapolates a 1 to 1.07.
    """
    series = select(metric, *matchers)
    last = f"last_over_time({series}[$__range])"
    return f"sum{_by(by)} (clamp_min({last} - ({series} offset $__range or {last} * 0), 0))"


def last_seen(metric: str, *matchers: str, by: str) -> str:
    """Return when a counter last rose or was born, in milliseconds since 1970."""
    series = select(metric, *matchers)
    rose = f"{series} unless {series} <= {series} offset $__interval"
    return f"max{_by(by)} (max_over_time(timestamp({rose})[$__range:$__interval])) * 1000"


def quantile(share: float, metric: str, *matchers: str, by: str = "", over: str = "$__rate_interval") -> str:
    """Return a quantile of a histogram."""
    labels = f"le, {by}" if by else "le"
    return f"histogram_quantile({share:g}, {rate(f'{metric}_bucket', *matchers, by=labels, over=over)})"


def slower(metric: str, limit: float, *matchers: str, or_lost: str = "") -> str:
    """Return the share of a histogram's events above one of its bounds; those that were lost count as slow."""
    # A bound of 10 is written `10` or `10.0`, by Prometheus' version.
    bound = f'le=~"{limit:g}|{limit:.1f}"'
    every = rate(f"{metric}_count", *matchers)
    if or_lost:
        every = f"({every} + ({or_lost} or {every} * 0))"
    return f"1 - {rate(f'{metric}_bucket', bound, *matchers)} / {every}"


def buckets(metric: str, *matchers: str) -> str:
    """Return a histogram's buckets, for a heatmap."""
    return increase(f"{metric}_bucket", *matchers, by="le")


def ratio(part: str, whole: str) -> str:
    """Return a share, 0 where the whole is there and the part is not."""
    return f"({part} or {whole} * 0) / ({whole} > 0)"


def by_class(rates: str) -> str:
    """Return requests by class of status, such as 5xx, from their rate by status."""
    return f'sum by (class) (label_replace({rates}, "class", "${{1}}xx", "status", "(.).*"))'


def or_zero(expr: str) -> str:
    """Return 0 where the expression finds nothing and the exporter was there to see it."""
    return f"{expr} or 0 * count({select('ullage_up')})"


def _by(labels: str) -> str:
    return f" by ({labels})" if labels else ""
