"""Settings from the environment."""

from __future__ import annotations

import pytest
from sqlalchemy import URL, make_url

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


PARTS = {
    "DATABASE_DIALECT": "mariadb+pymysql",
    "DATABASE_HOST": "db.example",
    "DATABASE_PORT": "3307",
    "DATABASE_NAME": "shop",
    "DATABASE_USER": "sho/p",
    "DATABASE_PASSWORD": "secret",
    "DATABASE_QUERY": "charset=utf8mb4&ssl_ca=%2Fca%20dir%2Fca.crt",
}


class TestParts:
    def test_make_the_url(self):
        """Dialect, host, port, name, user, password and query come from variables of their own."""
        url = make_url(Config.from_environ(PARTS).database_url)
        assert url == URL.create(
            "mariadb+pymysql",
            username="sho/p",
            password="secret",
            host="db.example",
            port=3307,
            database="shop",
            query={"charset": "utf8mb4", "ssl_ca": "/ca dir/ca.crt"},
        )

    def test_win_over_the_url(self):
        """The URL that Kubernetes put together may be wrong where the parts are right."""
        broken = "mariadb+pymysql://sho/p:se@cr/et@db.example:3307/shop"
        assert Config.from_environ({**PARTS, "DATABASE_URL": broken}) == Config.from_environ(PARTS)

    def test_need_no_more_than_a_host(self):
        """What is not given is left out; an IPv6 address may have its brackets."""
        assert Config.from_environ({"DATABASE_HOST": "db"}).database_url == "mysql+pymysql://db"
        assert Config.from_environ({"DATABASE_HOST": "[fd00::1]"}).database_url == "mysql+pymysql://[fd00::1]"

    def test_carry_every_character_of_a_password(self):
        """Every character, spaces around it included, reaches SQLAlchemy as it is."""
        for password in [f" {chr(code)}{chr(code)} " for code in range(1, 0x180)] + ["%41", "+%20", "日本"]:
            url = make_url(Config.from_environ({**PARTS, "DATABASE_PASSWORD": password}).database_url)
            assert url.password == password


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
