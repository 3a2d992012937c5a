"""The health endpoints, with and without servers."""

from __future__ import annotations

import pytest

from app import db
from app.config import Config
from app.web import create_app


def test_ready_when_both_answer(client):
    """With database and Redis up, the process is ready."""
    response = client.get("/readyz")
    assert (response.status_code, response.json) == (
        200,
        {"status": "ready", "checks": {"database": "ok", "redis": "ok"}},
    )


@pytest.mark.parametrize(
    "database_url",
    [
        pytest.param("mysql+pymysql://shop:secret@127.0.0.1:1/shop", id="mysql"),
        pytest.param("postgresql+psycopg://shop:secret@127.0.0.1:1/shop", id="postgresql"),
        pytest.param("sqlite:////nowhere/app.db", id="sqlite"),
    ],
)
def test_alive_but_not_ready_without_its_servers(database_url):
    """With database and Redis down the process is alive, not ready, and says why, without the password."""
    application = create_app(Config(database_url=database_url, redis_url="redis://127.0.0.1:1/0"))
    client = application.test_client()
    assert client.get("/livez").json == {"status": "ok"}
    response = client.get("/readyz")
    assert (response.status_code, response.json["status"]) == (503, "unavailable")
    assert "OperationalError" in response.json["checks"]["database"]
    assert "ConnectionError" in response.json["checks"]["redis"]
    assert "secret" not in response.text
    db.close()


def test_a_request_without_its_database_is_a_503(web, tmp_path):
    """A page or an order list without a database is unavailable, with the cause in the log alone."""
    application = create_app(Config(database_url="mysql+pymysql://shop:secret@127.0.0.1:1/shop"))
    client = application.test_client()
    response = client.get("/orders")
    assert (response.status_code, response.headers["Retry-After"]) == (503, "1")
    assert "127.0.0.1" not in response.text
    assert client.get("/").status_code == 503
