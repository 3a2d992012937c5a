"""SQLAlchemy's URL plugin: `mysql+pymysql://.../shop?plugin=ullage` measures the process that makes this engine."""

from __future__ import annotations

from typing import Any

from sqlalchemy.engine import URL, CreateEnginePlugin

import ullage


class UllagePlugin(CreateEnginePlugin):
    """Called by `create_engine`, which takes the plugin out of the URL."""

    def __init__(self, url: URL, kwargs: dict[str, Any]) -> None:
        super().__init__(url, kwargs)
        ullage.install()

    def update_url(self, url: URL) -> URL:
        """Called for what is to be taken out of the URL: the plugin's name is already."""
        return url
