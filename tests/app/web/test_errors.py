"""Errors as problem+json."""

from __future__ import annotations


def test_an_unknown_address_is_a_problem(client):
    """404 for programs is problem+json with the usual members."""
    response = client.get("/nowhere")
    assert response.mimetype == "application/problem+json"
    assert response.json["title"] == "Not Found"
    assert response.json["status"] == 404


def test_a_wrong_method_says_which_are_right(client):
    """405 keeps its Allow header."""
    response = client.put("/orders")
    assert response.status_code == 405
    assert {"GET", "POST"} <= set(response.headers["Allow"].split(", "))


def test_a_programming_error_is_a_problem_without_internals(web, caplog):
    """An unexpected exception answers 500 without its text, which goes to the log."""

    @web.get("/broken")
    def broken() -> str:
        raise RuntimeError("secret of the house")

    web.testing = False
    response = web.test_client().get("/broken")
    assert (response.status_code, response.json["title"]) == (500, "Internal Server Error")
    assert "secret" not in response.text
    assert "secret of the house" in caplog.text
