"""Policies: which of them wins, how they are written, and what is refused."""

from __future__ import annotations

import pytest

import ullage
from ullage.policy import POLICIES, Policies
from ullage.setting import SettingError
from ullage.settings import probe_settings

SITE = "app/locks.py:12 Locks.take"


def chosen(default: str, *overrides: str, decorated: str | None = None, site: str = SITE) -> str:
    """Return the policy of a leak of the job `app.tasks.load` from the queue `low`."""
    return Policies.parse(default, overrides).of("low", "app.tasks.load", site, decorated)


class TestPrecedence:
    """The nearest wins: the site, the function's decorator, the function, the queue, the default."""

    def test_without_overrides_the_default_stands(self):
        """A worker's policy is that of every job."""
        assert chosen("reclaim") == "reclaim"

    def test_a_queue_overrides_the_default(self):
        """One queue may differ from the others."""
        assert chosen("observe", "queue:low=ignore", "queue:high=strict") == "ignore"

    def test_a_function_overrides_its_queue(self):
        """In whatever order they are written."""
        for overrides in (
            ("queue:low=ignore", "function:app.tasks.load=strict"),
            ("function:app.tasks.load=strict", "queue:low=ignore"),
        ):
            assert chosen("observe", *overrides) == "strict"

    def test_a_decorator_overrides_the_settings_of_function_and_queue(self):
        """Who wrote the function knows it best."""
        overrides = ("function:app.tasks.load=strict", "queue:low=strict")
        assert chosen("observe", *overrides, decorated="ignore") == "ignore"

    def test_a_site_overrides_all(self):
        """A connection that is kept at one line is kept in whatever job."""
        assert chosen("strict", "site:app/locks.py=ignore", decorated="strict") == "ignore"

    def test_a_decorator_that_is_none_of_ours_is_no_policy(self):
        """An attribute of the same name with another meaning changes nothing."""
        assert chosen("observe", decorated="often") == "observe"


class TestSites:
    """How a site is written."""

    @pytest.mark.parametrize(
        "wanted",
        ["locks.py", "app/locks.py", "app/locks.py:12", "app/locks.py:take", "locks.py:Locks.take"],
        ids=lambda wanted: wanted.replace("/", "."),
    )
    def test_a_site_is_a_file_a_line_or_a_function(self, wanted):
        """The end of the path is enough; a line, a function or a method may be added."""
        assert chosen("strict", f"site:{wanted}=ignore") == "ignore"

    @pytest.mark.parametrize(
        "wanted",
        ["ocks.py", "other/locks.py", "app/locks.py:1", "app/locks.py:13", "app/locks.py:give", "locks.py:Locks"],
        ids=lambda wanted: wanted.replace("/", "."),
    )
    def test_another_place_is_another_site(self, wanted):
        """Names are compared whole."""
        assert chosen("strict", f"site:{wanted}=ignore") == "strict"

    def test_a_place_that_is_not_known_is_no_site(self):
        """A leak without a line has the policy of its function."""
        assert chosen("strict", "site:locks.py=ignore", site="") == "strict"


class TestDecorator:
    """`@ullage.policy`."""

    @pytest.mark.parametrize("name", POLICIES)
    def test_it_changes_nothing_of_the_function(self, name):
        """The function itself comes back, so that RQ finds it under its name."""

        def load() -> str:
            return "loaded"

        assert ullage.policy(name)(load) is load
        assert load() == "loaded"

    def test_an_unknown_policy_is_refused_with_those_that_exist(self):
        """A mistake in a decorator is an error at import, with the names to choose from."""
        with pytest.raises(ValueError, match=r"policy 'recliam' is not one of ignore, observe, reclaim, strict"):
            ullage.policy("recliam")


class TestSettings:
    """Policies from the environment."""

    def test_the_default_is_to_observe(self):
        """An observed application is never changed."""
        assert probe_settings({}).policy == "observe"

    def test_overrides_are_a_list(self):
        """Queues, functions and sites, separated by commas."""
        text = "queue:low=ignore, function:app.tasks.load=strict,site:app/locks.py:12=ignore"
        settings = probe_settings({"ULLAGE_POLICY": "Reclaim", "ULLAGE_POLICY_OVERRIDES": text})
        found = Policies.parse(settings.policy, settings.policy_overrides)
        assert found.default == "reclaim"
        assert found.overrides == (
            ("queue", "low", "ignore"),
            ("function", "app.tasks.load", "strict"),
            ("site", "app/locks.py:12", "ignore"),
        )

    @pytest.mark.parametrize("text", ["low=ignore", "queue:low", "queue:=ignore", "job:low=ignore", "queue:low=often"])
    def test_what_is_no_override_is_refused(self, text):
        """The error has the value and what is taken."""
        with pytest.raises(SettingError, match=r"ULLAGE_POLICY_OVERRIDES=.* it takes `queue:`, `function:` or `site:`"):
            probe_settings({"ULLAGE_POLICY_OVERRIDES": text})
