"""The pages for people."""

from __future__ import annotations

import io
import re

import pytest

from app.config import Config
from app.web import create_app

HEADER = "order,customer,sku,quantity,unit_price\n"
NASTY = "<script>alert(1)</script>\"'&"


def order_form(customer="Ada", sku="TEA"):
    """Give the order form as a browser sends it, with two lines left empty."""
    return {
        "customer": customer,
        "sku": [sku, "", ""],
        "quantity": ["2", "", ""],
        "unit_price": ["2.50", "", ""],
    }


def test_a_person_can_click_from_an_order_to_the_report(client):
    """The form creates an order and leads to its page; front page, list and report show it."""
    created = client.post("/pages/orders", data=order_form())
    assert created.status_code == 303
    page = client.get(created.headers["Location"]).text
    assert "Ada" in page
    assert "5.00" in page
    for url in ("/", "/pages/orders", "/pages/reports/revenue"):
        assert "Ada" in client.get(url).text
        assert "5.00" in client.get(url).text


def test_a_person_can_import_a_file(client, work):
    """The form queues the file; the page asks again by itself until the import is over."""
    queued = client.post("/pages/imports", data={"file": (io.BytesIO(f"{HEADER}a,Ada,TEA,1,1\n".encode()), "a.csv")})
    assert queued.status_code == 303
    assert 'http-equiv="refresh"' in client.get(queued.headers["Location"]).text
    work()
    page = client.get(queued.headers["Location"]).text
    assert "1 orders imported" in page
    assert 'http-equiv="refresh"' not in page


def test_a_rejected_file_is_shown_by_line(client, work):
    """The page of a bad file has the line and what is allowed."""
    content = f"{HEADER}a,Ada,{NASTY},1,1\n".encode()
    queued = client.post("/pages/imports", data={"file": (io.BytesIO(content), "a.csv")})
    work()
    page = client.get(queued.headers["Location"]).text
    assert "Nothing was imported" in page
    assert "letters, digits, dots, dashes" in page
    assert "<script" not in page


def test_a_bad_form_comes_back_filled(client):
    """A refused form shows what is wrong and keeps what was typed."""
    response = client.post("/pages/orders", data=order_form(sku="bad sku"))
    assert response.status_code == 422
    assert "lines[0].sku" in response.text
    assert 'value="bad sku"' in response.text
    assert 'value="Ada"' in response.text


@pytest.mark.parametrize("data", [{}, {"file": (io.BytesIO(b""), "")}])
def test_an_import_without_a_file_comes_back(client, data):
    """The import form without a file says what is wanted."""
    response = client.post("/pages/imports", data=data)
    assert response.status_code == 422
    assert "a CSV file with the columns" in response.text


def test_everything_is_escaped(client):
    """Markup in a customer's name is text on every page."""
    created = client.post("/pages/orders", data=order_form(NASTY))
    for url in (created.headers["Location"], "/", "/pages/orders", "/pages/reports/revenue"):
        page = client.get(url).text
        assert "&lt;script&gt;" in page
        assert "<script" not in page
    refused = client.post("/pages/orders", data=order_form(NASTY, sku=NASTY)).text
    assert "<script" not in refused


def test_every_link_leads_somewhere(client):
    """Each link and stylesheet on the pages answers 200."""
    client.post("/pages/orders", data=order_form())
    pages = ["/", "/pages/orders", "/pages/orders/1", "/pages/reports/revenue"]
    links = {link for page in pages for link in re.findall(r'(?:href|src)="(/[^"]*)"', client.get(page).text)}
    assert {"/static/style.css", "/orders", "/pages/orders/1", "/readyz"} <= links
    for link in links:
        with client.get(link) as response:
            assert response.status_code == 200, link


def test_long_lists_have_pages(client):
    """The list of orders links its next and previous pages."""
    for _ in range(3):
        client.post("/pages/orders", data=order_form())
    first = client.get("/pages/orders?limit=2").text
    assert 'rel="next" href="/pages/orders?limit=2&amp;offset=2"' in first
    assert 'rel="prev" href="/pages/orders?limit=2&amp;offset=0"' in client.get("/pages/orders?limit=2&offset=2").text


def test_errors_are_pages_for_people(client):
    """A page that is not there answers as a page."""
    response = client.get("/pages/orders/7")
    assert (response.status_code, response.mimetype) == (404, "text/html")
    assert "there is no order 7" in response.text


def test_fault_buttons_only_where_faults_are_enabled(client, config):
    """The front page offers faults only where they would be run."""
    assert "/faults/crash" in client.get("/").text
    disabled = create_app(Config(database_url=config.database_url))
    assert "/faults" not in disabled.test_client().get("/").text


@pytest.mark.parametrize(("site", "status"), [("cross-site", 403), ("same-site", 403), ("same-origin", 303)])
def test_other_sites_cannot_post_here(client, site, status):
    """A form on another site is refused; the site's own forms are not."""
    response = client.post("/pages/orders", data=order_form(), headers={"Sec-Fetch-Site": site})
    assert response.status_code == status


def test_pages_allow_no_scripts_and_no_framing(client):
    """The policy on each response forbids scripts, foreign sources and framing."""
    policy = client.get("/").headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "script-src" not in policy
    assert "frame-ancestors 'none'" in policy
