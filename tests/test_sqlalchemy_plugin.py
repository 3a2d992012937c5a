"""`?plugin=ullage` in a database URL."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest


@pytest.mark.parametrize("enabled", ["1", "0"])
def test_the_url_loses_the_plugin_and_keeps_the_rest(tmp_path, enabled):
    """The database gets the URL without it, whether ullage is switched on or not."""
    url = f"sqlite:///{tmp_path}/shop.db?timeout=3"
    code = f"""
import sqlalchemy
engine = sqlalchemy.create_engine("{url}&plugin=ullage", pool_size=3)
print(engine.url, engine.pool.size(), sqlalchemy.pool.Pool.connect.__code__.co_filename.endswith("probe/pool.py"))
with engine.connect() as connection:
    print(connection.scalar(sqlalchemy.text("SELECT 42")))
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "ULLAGE_DIR": str(tmp_path), "ULLAGE_ENABLED": enabled},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == f"{url} 3 {enabled == '1'}\n42\n"
    assert done.stderr == ""
