"""Events on leaking pods, as the API server has them afterwards."""

from __future__ import annotations

import datetime
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.observer.api_server import ApiServer
from ullage.observer import events
from ullage.observer.cluster import Cluster, ClusterError
from ullage.observer.events import EventLog
from ullage.observer.pods import Leak, Pod

POD = Pod("worker-7d9f-x2x", "2b6a", "10.0.0.1")
NOW = 1_800_000_000.0
LEAK = Leak(NOW - 10, "held_at_job_end", "app.tasks.report", "app/reports.py:41 load", "default")
DEAD = replace(LEAK, at=None, kind="died_with_process")


class Clock:
    """A clock that stands until it is moved."""

    now = NOW

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    """Give a clock that says NOW."""
    return Clock()


@pytest.fixture
def cluster(api: ApiServer, service_account: Path) -> Cluster:
    """Give a client of the server."""
    return Cluster(None, service_account, api.environ)


@pytest.fixture
def log(cluster: Cluster, clock: Clock) -> EventLog:
    """Give a log that has written nothing yet."""
    return new_log(cluster, clock)


def new_log(cluster: Cluster, clock: Clock) -> EventLog:
    """Return the log of an observer that was just started."""
    return EventLog(cluster, "https://example.com/SessionLeak", "observer-1", clock, clock)


def seconds(text: str) -> float:
    """Return a time as releases of the client write it: with Z or with an offset."""
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def only(api: ApiServer) -> dict[str, Any]:
    """Return the only Event that there is."""
    [event] = api.events.values()
    return event


class TestAnEvent:
    def test_all_of_it(self, api: ApiServer, log: EventLog) -> None:
        """The first leak makes a Warning on the pod that names function, line, kind and runbook."""
        log.record(POD, [LEAK])
        event = only(api)
        times = [event.pop("firstTimestamp"), event.pop("lastTimestamp")]
        assert [seconds(text) for text in times] == [NOW - 10, NOW - 10]
        assert event == {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {
                "name": event["metadata"]["name"],
                "namespace": "shop",
                "annotations": {"ullage/counted": "1", "ullage/counted-until": "1799999990.0"},
            },
            "involvedObject": {
                "apiVersion": "v1",
                "kind": "Pod",
                "namespace": "shop",
                "name": "worker-7d9f-x2x",
                "uid": "2b6a",
            },
            "reason": "SessionLeak",
            "type": "Warning",
            "message": "app.tasks.report checked out a database connection at app/reports.py:41 load and still had it "
            "when the job had ended (held_at_job_end). Runbook: https://example.com/SessionLeak",
            "count": 1,
            "source": {"component": "ullage"},
            "reportingComponent": "ullage",
            "reportingInstance": "observer-1",
        }
        assert log.written == 1

    @pytest.mark.parametrize("change", [{"function": "f"}, {"site": "a.py:1 g"}, {"kind": "reclaimed_by_gc"}], ids=str)
    def test_one_each(self, api: ApiServer, log: EventLog, change: dict[str, str]) -> None:
        """Each function, line and kind has an Event of its own."""
        log.record(POD, [LEAK, replace(LEAK, **change)])
        assert [event["count"] for event in api.events.values()] == [1, 1]

    def test_queues_share(self, api: ApiServer, log: EventLog) -> None:
        """The queue makes no difference."""
        log.record(POD, [LEAK, replace(LEAK, queue="high", at=NOW - 5)])
        assert only(api)["count"] == 2

    @pytest.mark.parametrize("name", ["a", "w" * 253, "a" * 199 + "-" + "b" * 50], ids=len)
    def test_name(self, api: ApiServer, log: EventLog, name: str) -> None:
        """An Event's name is a valid one, however long the pod's is."""
        log.record(replace(POD, name=name), [LEAK])
        found = only(api)["metadata"]["name"]
        assert len(found) <= 253
        assert all(part and part.strip("-") == part for part in found.split("."))

    @pytest.mark.parametrize("kind", events.MEANINGS)
    def test_long_texts(self, api: ApiServer, log: EventLog, kind: str) -> None:
        """A message is at most as long as Kubernetes takes, for every kind."""
        log.record(POD, [replace(LEAK, kind=kind, function="f" * 9999)])
        assert len(only(api)["message"]) == 1024

    def test_unknown_place(self, api: ApiServer, log: EventLog) -> None:
        """Without a function and a line the sentence is still one."""
        log.record(POD, [replace(LEAK, function="", site="")])
        assert only(api)["message"].startswith(
            "code outside any job or request checked out a database connection at an unknown line and still had it"
        )


class TestRisingCount:
    def test_new_leaks(self, api: ApiServer, log: EventLog) -> None:
        """More leaks of the same raise the count and the last time, and leave the first."""
        log.record(POD, [LEAK])
        log.record(POD, [LEAK, replace(LEAK, at=NOW - 5), replace(LEAK, at=NOW - 4)])
        event = only(api)
        assert event["count"] == 3
        assert (seconds(event["firstTimestamp"]), seconds(event["lastTimestamp"])) == (NOW - 10, NOW - 4)
        assert log.written == 2

    def test_nothing_new(self, api: ApiServer, log: EventLog) -> None:
        """A leak that was written already is not written again, and nothing is asked."""
        log.record(POD, [LEAK])
        before = len(api.requests)
        log.record(POD, [LEAK])
        assert (len(api.requests), log.written) == (before, 1)

    def test_ring_that_went_on(self, api: ApiServer, log: EventLog) -> None:
        """Leaks that the sidecar no longer lists stay counted."""
        log.record(POD, [LEAK])
        log.record(POD, [replace(LEAK, at=NOW - 1)])
        assert only(api)["count"] == 2

    def test_dead_process(self, api: ApiServer, log: EventLog) -> None:
        """A dead process's leak counts at once, and not again when the next process has taken over."""
        log.record(POD, [DEAD])
        assert only(api)["count"] == 1
        log.record(POD, [replace(DEAD, at=NOW - 1)])
        assert only(api)["count"] == 1
        log.record(POD, [replace(DEAD, at=NOW - 1), DEAD])
        assert only(api)["count"] == 2


class TestRestart:
    def test_same_leaks(self, api: ApiServer, cluster: Cluster, log: EventLog, clock: Clock) -> None:
        """A restarted observer goes on with the Event that is there, and counts nothing twice."""
        log.record(POD, [LEAK, replace(LEAK, at=NOW - 9.25)])
        restarted = new_log(cluster, clock)
        restarted.record(POD, [LEAK, replace(LEAK, at=NOW - 9.25)])
        assert (only(api)["count"], restarted.written) == (2, 0)
        restarted.record(POD, [replace(LEAK, at=NOW - 9.25), replace(LEAK, at=NOW - 9.125)])
        assert (only(api)["count"], restarted.written) == (3, 1)

    def test_dead_process(self, api: ApiServer, cluster: Cluster, log: EventLog, clock: Clock) -> None:
        """A dead process's leak is not counted again by a restarted observer, before or after it has a time."""
        log.record(POD, [DEAD])
        new_log(cluster, clock).record(POD, [DEAD])
        assert only(api)["count"] == 1
        new_log(cluster, clock).record(POD, [replace(DEAD, at=NOW - 1)])
        assert only(api)["count"] == 1

    def test_old_leaks(self, api: ApiServer, log: EventLog) -> None:
        """A leak older than Kubernetes keeps Events is not reported anew."""
        log.record(POD, [replace(LEAK, at=NOW - 3601)])
        assert not api.requests

    def test_foreign_annotations(self, api: ApiServer, cluster: Cluster, log: EventLog, clock: Clock) -> None:
        """An Event whose annotations somebody removed goes on from its count."""
        log.record(POD, [LEAK])
        only(api)["metadata"]["annotations"] = {"ullage/counted": "many"}
        new_log(cluster, clock).record(POD, [LEAK])
        assert only(api)["count"] == 2


class TestExpiredEvent:
    def test_count_goes_on(self, api: ApiServer, log: EventLog) -> None:
        """An Event that Kubernetes removed is made anew by the next leak, with the whole count."""
        log.record(POD, [LEAK])
        api.events.clear()
        log.record(POD, [replace(LEAK, at=NOW - 1)])
        assert only(api)["count"] == 2

    def test_forgotten_pods(self, api: ApiServer, log: EventLog) -> None:
        """Of a pod that is gone nothing is kept."""
        log.record(POD, [LEAK])
        log.keep([replace(POD, uid="other")])
        assert not log._records
        log.record(POD, [LEAK])
        assert (only(api)["count"], log.written) == (1, 1)


class TestFlood:
    def test_new_events(self, api: ApiServer, log: EventLog, clock: Clock) -> None:
        """At most twenty new Events a minute are written; the others follow, and none is lost."""
        leaks = [replace(LEAK, function=f"f{index}") for index in range(50)]
        log.record(POD, leaks)
        assert len(api.events) == events.NEW_A_MINUTE
        log.record(POD, leaks)
        assert len(api.events) == events.NEW_A_MINUTE
        for _ in range(2):
            clock.now += 60
            log.record(POD, leaks)
        assert len(api.events) == 50
        assert {event["count"] for event in api.events.values()} == {1}

    def test_requests(self, api: ApiServer, log: EventLog) -> None:
        """A storm of kinds, functions and lines makes a bounded number of requests."""
        log.record(POD, [replace(LEAK, function=f"f{index}") for index in range(1000)])
        assert len(api.requests) <= events.NEW_A_MINUTE + events.PATCHES_A_MINUTE

    def test_refusal(self, api: ApiServer, log: EventLog) -> None:
        """What the API refused is written when it accepts again, with the right count."""
        log.record(POD, [LEAK])
        api.refusal = (500, "etcd is away")
        with pytest.raises(ClusterError, match="etcd is away"):
            log.record(POD, [replace(LEAK, at=NOW - 5)])
        api.refusal = None
        log.record(POD, [replace(LEAK, at=NOW - 5), replace(LEAK, at=NOW - 4)])
        assert (only(api)["count"], log.written) == (3, 2)
