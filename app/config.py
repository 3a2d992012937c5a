"""Reads the environment, once, into one frozen dataclass."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl

from sqlalchemy import URL

TRUE_WORDS = frozenset({"1", "true", "yes", "on"})
FALSE_WORDS = frozenset({"0", "false", "no", "off"})


class ConfigError(ValueError):
    """A setting has a value that the application does not accept."""


@dataclass(frozen=True)
class Config:
    """Hold every setting of the application with its default."""

    database_url: str = "sqlite:///app.db"
    pool_size: int = 5
    max_overflow: int = 10
    pool_timeout_seconds: int = 30
    pool_recycle_seconds: int = 1800
    pool_pre_ping: bool = True
    redis_url: str = "redis://127.0.0.1:6379/0"
    queue_name: str = "default"
    max_upload_bytes: int = 1024 * 1024
    faults: bool = False

    @classmethod
    def from_environ(cls, environ: Mapping[str, str] = os.environ) -> Config:
        """Read the settings from the environment; an empty value means the default."""
        read = _Reader(environ)
        return cls(
            database_url=_database_url(read, cls.database_url),
            pool_size=read.integer("DB_POOL_SIZE", cls.pool_size, 1, 1000),
            max_overflow=read.integer("DB_MAX_OVERFLOW", cls.max_overflow, 0, 1000),
            pool_timeout_seconds=read.integer("DB_POOL_TIMEOUT", cls.pool_timeout_seconds, 1, 3600),
            pool_recycle_seconds=read.integer("DB_POOL_RECYCLE", cls.pool_recycle_seconds, -1, 86400),
            pool_pre_ping=read.switch("DB_POOL_PRE_PING", cls.pool_pre_ping),
            redis_url=read.text("REDIS_URL", cls.redis_url),
            queue_name=read.text("APP_QUEUE", cls.queue_name),
            max_upload_bytes=read.integer("APP_MAX_UPLOAD_BYTES", cls.max_upload_bytes, 1024, 64 * 1024 * 1024),
            faults=read.switch("APP_FAULTS", cls.faults),
        )


def _database_url(read: _Reader, default: str) -> str:
    """Put the URL together from DATABASE_HOST and its like where they are given; else take DATABASE_URL."""
    host = read.text("DATABASE_HOST", "")
    if not host:
        return read.text("DATABASE_URL", default)
    # A Secret's password is no URL's password yet: Kubernetes puts it into DATABASE_URL as it is, and only here
    # are its reserved characters encoded.
    url = URL.create(
        drivername=read.text("DATABASE_DIALECT", "mysql+pymysql"),
        username=read.text("DATABASE_USER", "") or None,
        password=read.environ.get("DATABASE_PASSWORD") or None,
        host=host.strip("[]"),
        port=read.integer("DATABASE_PORT", 0, 0, 65535) or None,
        database=read.text("DATABASE_NAME", "") or None,
        query=dict(parse_qsl(read.text("DATABASE_QUERY", ""))),
    )
    return url.render_as_string(hide_password=False)


@dataclass(frozen=True)
class _Reader:
    environ: Mapping[str, str]

    def text(self, name: str, default: str) -> str:
        return self.environ.get(name, "").strip() or default

    def integer(self, name: str, default: int, lowest: int, highest: int) -> int:
        value = self.text(name, str(default))
        allowed = f"an integer from {lowest} to {highest}"
        try:
            number = int(value)
        except ValueError:
            raise ConfigError(f"{name}={value!r}: want {allowed}") from None
        if not lowest <= number <= highest:
            raise ConfigError(f"{name}={value!r}: want {allowed}")
        return number

    def switch(self, name: str, default: bool) -> bool:
        value = self.text(name, "1" if default else "0").lower()
        if value in TRUE_WORDS:
            return True
        if value in FALSE_WORDS:
            return False
        raise ConfigError(f"{name}={value!r}: want 1, true, yes, on or 0, false, no, off")
