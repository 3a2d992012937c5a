"""The connection budget."""

from __future__ import annotations

from ullage import metrics as m
from ullage.observer.budget import Budget


class TestBudget:
    def test_components_and_limit(self) -> None:
        """Each component and the limit are served as they were given."""
        reading = Budget({"web": 30, "worker-high": 0}, 100).readings()["budget"]
        assert reading.error is None
        assert reading.samples == {
            m.BUDGET: {("web",): [30.0], ("worker-high",): [0.0]},
            m.LIMIT: {(): [100.0]},
        }

    def test_unknown_limit(self) -> None:
        """A limit that is not known has no series: 0 would be a lie."""
        assert Budget({}, None).readings()["budget"].samples == {m.BUDGET: {}, m.LIMIT: {}}
