"""The whole service, on every kind of database."""

from __future__ import annotations

import io
import time

import pytest

CSV = b"order,customer,sku,quantity,unit_price\nx,Bob,CUP,1,4.00\nx,Bob,TEA,1,2.50\ny,Cy,TEA,10,2.50\n"


@pytest.fixture(params=["sqlite", "mariadb_database", "postgres_database"])
def database_url(request, tmp_path):
    """Give each kind of database in turn."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'app.db'}"
    return request.getfixturevalue(request.param)


def test_create_import_list_show_and_report(client, work):
    """The whole service works on every supported database."""
    order = {"customer": "Ada", "lines": [{"sku": "TEA", "quantity": 3, "unit_price": "2.50"}]}
    created = client.post("/orders", json=order)
    assert created.status_code == 201
    assert client.get(created.headers["Location"]).json == created.json

    queued = client.post("/imports", data={"file": (io.BytesIO(CSV), "orders.csv")})
    assert (queued.status_code, queued.json["status"]) == (202, "queued")
    assert client.get(queued.headers["Location"]).json["status"] == "queued"
    work()
    finished = client.get(queued.headers["Location"]).json
    assert (finished["status"], finished["orders"]) == ("finished", 2)

    listed = client.get("/orders").json
    assert (listed["total"], listed["next"]) == (3, None)
    assert {(item["customer"], item["total"]) for item in listed["items"]} == {
        ("Ada", "7.50"),
        ("Bob", "6.50"),
        ("Cy", "25.00"),
    }

    report = client.get("/reports/revenue?limit=2").json
    day = created.json["created_at"][:10]
    assert report["items"][0] == {"day": day, "customer": "Cy", "orders": 1, "units": 10, "revenue": "25.00"}
    assert report["total"] == 3
    assert client.get(report["next"]).json["items"][0]["customer"] == "Bob"


def test_a_slow_query_takes_its_time(client):
    """The fault `slow-query` keeps the report waiting inside the database for as long as it was told."""
    started = time.monotonic()
    slow = client.get("/reports/revenue?fault=slow-query&seconds=0.3")
    assert (slow.status_code, slow.json["total"]) == (200, 0)
    assert 0.3 <= time.monotonic() - started < 5
