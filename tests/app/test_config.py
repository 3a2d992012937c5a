"""Settings from the environment."""

from __future__ import annotations

import pytest

from app.config import Config, ConfigError


def test_an_empty_environment_gives_the_defaults():
    """Without any setting, and with empty ones, the defaults hold; pre-ping is on and faults are off."""
    assert Config.from_environ({}) == Config.from_environ({"DB_POOL_SIZE": "", "APP_FAULTS": " "}) == Config()
    assert Config().pool_pre_ping
    assert not Config().faults


def test_every_setting_is_read():
    """Each variable reaches its field."""
    assert Config.from_environ(
        {
            "DATABASE_URL": "mysql+pymysql://db/shop",
            "DB_POOL_SIZE": "7",
            "DB_MAX_OVERFLOW": "0",
            "DB_POOL_TIMEOUT": "3",
            "DB_POOL_RECYCLE": "-1",
            "DB_POOL_PRE_PING": "off",
            "REDIS_URL": "redis://cache:6379/1",
            "APP_QUEUE": "slow",
            "APP_MAX_UPLOAD_BYTES": "2048",
            "APP_FAULTS": "1",
        }
    ) == Config("mysql+pymysql://db/shop", 7, 0, 3, -1, False, "redis://cache:6379/1", "slow", 2048, True)


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        pytest.param("DB_POOL_SIZE", "many", "an integer from 1 to 1000", id="no-number"),
        pytest.param("DB_POOL_SIZE", "0", "an integer from 1 to 1000", id="out-of-range"),
        pytest.param("APP_FAULTS", "maybe", "1, true, yes, on or 0, false, no, off", id="no-switch"),
    ],
)
def test_a_bad_setting_is_named(name, value, allowed):
    """A bad setting is refused with its name, its value and what is allowed."""
    with pytest.raises(ConfigError) as caught:
        Config.from_environ({name: value})
    assert str(caught.value) == f"{name}={value!r}: want {allowed}"
