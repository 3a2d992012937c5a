"""`ullage observe`: the sources that the settings ask for, and the pages that serve them."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable

from ullage.observer.budget import Budget
from ullage.observer.collector import Observer
from ullage.observer.landing import ObserverPages
from ullage.observer.reading import Source
from ullage.setting import SettingError
from ullage.settings import ObserveSettings

log = logging.getLogger(__name__)


def build(settings: ObserveSettings) -> tuple[ObserverPages, Callable[[], None]]:
    """Return the pages, and what starts the background work; raise SettingError for what cannot be."""
    budget = Budget(dict(settings.connection_budget), settings.connection_limit)
    sources: list[Source] = [budget]
    reads: list[str] = []
    if settings.redis_url:
        source, shown = _redis_source(settings, settings.redis_url)
        sources.append(source)
        reads.append(shown)
    else:
        log.info("no queue is measured: ULLAGE_REDIS_URL is not set")
    start = _leak_watch(settings, sources, reads)
    return ObserverPages(Observer(sources), budget, reads), start


def _redis_source(settings: ObserveSettings, url: str) -> tuple[Source, str]:
    from ullage.observer.redis_source import RedisSource, describe

    try:
        return RedisSource(url, settings.queues, settings.key_prefix), describe(url)
    except (ValueError, TypeError):
        # Not what redis-py says: that may quote the password.
        raise SettingError("ULLAGE_REDIS_URL has an option or a part that redis-py does not accept") from None


def _leak_watch(settings: ObserveSettings, sources: list[Source], reads: list[str]) -> Callable[[], None]:
    """Add the source that writes Events, if it is on and there is a service account; return what starts it."""
    if not (settings.events and settings.pod_selector):
        return lambda: None
    from ullage.observer.cluster import Cluster, NoServiceAccountError
    from ullage.observer.events import EventLog
    from ullage.observer.leak_watch import LeakWatch

    try:
        cluster = Cluster(settings.pod_namespace)
    except NoServiceAccountError as error:
        log.warning("no Events are written: %s", error)
        return lambda: None
    # In a pod, the host's name is the pod's.
    own_name = os.environ.get("HOSTNAME", "")
    events = EventLog(cluster, settings.runbook_url, own_name)
    watch = LeakWatch(cluster, events, settings.pod_selector, settings.metrics_port, own_name)
    sources.append(watch)
    reads.append(f"pods {settings.pod_selector} in {cluster.namespace}")
    return lambda: watch.start(settings.events_interval_seconds)
