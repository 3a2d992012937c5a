"""So many a minute."""

from __future__ import annotations

from ullage.observer.allowance import Allowance


class TestAllowance:
    def test_burst_and_refill(self) -> None:
        """A minute's worth may be used at once; then one comes back at a time."""
        now = [0.0]
        allowance = Allowance(6, lambda: now[0])
        assert [allowance.take() for _ in range(7)] == [True] * 6 + [False]
        now[0] = 10.0
        assert [allowance.take() for _ in range(2)] == [True, False]

    def test_quiet_hours(self) -> None:
        """A quiet hour saves up no more than a minute's worth."""
        now = [0.0]
        allowance = Allowance(3, lambda: now[0])
        now[0] = 3600.0
        assert [allowance.take() for _ in range(4)] == [True] * 3 + [False]
