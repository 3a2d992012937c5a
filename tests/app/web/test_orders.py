"""The order endpoints."""

from __future__ import annotations

import pytest

LINE = {"sku": "TEA", "quantity": 1, "unit_price": "2.50"}


def create(client, customer="Ada", lines=(LINE,)):
    """Post an order and give the response."""
    return client.post("/orders", json={"customer": customer, "lines": list(lines)})


class TestCreate:
    def test_answers_with_the_stored_order(self, client):
        """A created order comes back with its number, its address and exact money."""
        response = create(client, " Ada ", [LINE, {"sku": "CUP", "quantity": 3, "unit_price": 0.1}])
        assert response.status_code == 201
        assert response.headers["Location"] == f"/orders/{response.json['id']}"
        assert (response.json["customer"], response.json["total"]) == ("Ada", "2.80")
        assert response.json["lines"][1] == {"sku": "CUP", "quantity": 3, "unit_price": "0.10"}

    @pytest.mark.parametrize(
        ("change", "field", "value", "allowed"),
        [
            pytest.param({"customer": "  "}, "customer", "'  '", "1 to 100 printable characters", id="blank"),
            pytest.param({"customer": "a\x00b"}, "customer", r"'a\x00b'", "1 to 100 printable", id="control"),
            pytest.param({"customer": "x" * 101}, "customer", "'xxx", "1 to 100 printable", id="long"),
            pytest.param({"customer": None}, "customer", "nothing", "1 to 100 printable", id="missing"),
            pytest.param({"lines": []}, "lines", "[]", "a list of 1 to 100 lines", id="no-lines"),
            pytest.param({"lines": [7]}, "lines[0]", "7", "an object with sku", id="line-type"),
            pytest.param({"price": 1}, "price", "1", "no such field; fields are customer, lines", id="unknown"),
        ],
    )
    def test_refuses_a_bad_order(self, client, change, field, value, allowed):
        """A bad field is refused with its name, its value and what is allowed, and nothing is stored."""
        response = client.post("/orders", json={"customer": "Ada", "lines": [LINE], **change})
        assert (response.status_code, response.mimetype) == (422, "application/problem+json")
        (error,) = response.json["errors"]
        assert error["field"] == field
        assert error["value"].startswith(value)
        assert error["allowed"].startswith(allowed)
        assert client.get("/orders").json["total"] == 0

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("sku", "a b"),
            ("sku", 7),
            ("quantity", 0),
            ("quantity", 10_001),
            ("quantity", 1.5),
            ("quantity", True),
            ("quantity", "٣"),
            ("unit_price", "-1"),
            ("unit_price", "1.999"),
            ("unit_price", 1e22),
            ("unit_price", float("nan")),
            ("unit_price", []),
        ],
    )
    def test_refuses_a_bad_line(self, client, field, value):
        """A bad value in a line is refused by its place in the list."""
        response = create(client, lines=[LINE, {**LINE, field: value}])
        assert response.status_code == 422
        assert [error["field"] for error in response.json["errors"]] == [f"lines[1].{field}"]

    def test_names_every_bad_field_at_once(self, client):
        """One answer has all errors."""
        response = create(client, "", [{"sku": "", "quantity": "", "unit_price": ""}])
        assert len(response.json["errors"]) == 4

    @pytest.mark.parametrize(
        ("body", "content_type", "statuses"),
        [
            pytest.param(b"{", "application/json", {400}, id="broken"),
            pytest.param(b"[]", "application/json", {422}, id="no-object"),
            pytest.param(b"{}", "text/plain", {415, 400}, id="other-type"),  # 400: Flask 2.2
        ],
    )
    def test_refuses_what_is_no_json_object(self, client, body, content_type, statuses):
        """A body that is no JSON object is the client's error, said in problem+json."""
        response = client.post("/orders", data=body, content_type=content_type)
        assert response.status_code in statuses
        assert response.mimetype == "application/problem+json"
        assert response.json["status"] == response.status_code
        assert response.json["detail"]


class TestList:
    def test_pages_cover_every_order_once(self, client):
        """Following `next` from the first page meets each order once, newest first, and ends."""
        numbers = [create(client, f"customer {i}").json["id"] for i in range(5)]
        met, url, pages = [], "/orders?limit=2", 0
        while url:
            page = client.get(url).json
            assert page["total"] == 5
            met += [order["id"] for order in page["items"]]
            url, pages = page["next"], pages + 1
        assert (met, pages) == (numbers[::-1], 3)

    @pytest.mark.parametrize("query", ["limit=0", "limit=101", "limit=x", "offset=-1", "offset=99999999999", "limit="])
    def test_refuses_a_bad_page(self, client, query):
        """A limit or offset out of range is refused by name."""
        response = client.get(f"/orders?{query}")
        assert response.status_code == 422
        assert response.json["errors"][0]["field"] == query.partition("=")[0]


class TestShow:
    @pytest.mark.parametrize("number", ["1", "99999999999999999999999"])
    def test_an_unknown_order_is_not_found(self, client, number):
        """A number that no order has, however large, is 404 in problem+json."""
        response = client.get(f"/orders/{number}")
        assert (response.status_code, response.json["status"]) == (404, 404)
