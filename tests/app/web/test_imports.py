"""The import endpoints and the job behind them."""

from __future__ import annotations

import io
import uuid
from dataclasses import replace

import pytest

from app import db, imports, tasks
from app.config import Config
from app.web import create_app

HEADER = "order,customer,sku,quantity,unit_price\n"


def upload(client, text):
    """Send a CSV file and give the response."""
    return client.post("/imports", data=text, content_type="text/csv")


def test_a_bad_file_is_rejected_whole(client, work):
    """One bad line among good ones: the answer names the line, nothing is imported, the job did not fail."""
    url = upload(client, HEADER + "a,Ada,TEA,1,1\nb,Bob,TEA,none,1\n").json["url"]
    work()
    status = client.get(url).json
    assert (status["status"], status["orders"]) == ("rejected", 0)
    assert status["errors"] == [
        {"line": 3, "field": "quantity", "value": "'none'", "allowed": "an integer from 1 to 10000"}
    ]
    assert client.get("/orders").json["total"] == 0


def test_the_same_job_twice_imports_once(web, client):
    """A job that RQ runs again, after a worker died late, adds nothing."""
    import_id = str(uuid.uuid4())
    for _ in range(2):
        assert tasks.import_orders(import_id, "orders.csv", HEADER + "a,Ada,TEA,1,1\n") == []
    assert client.get("/orders").json["total"] == 1
    assert client.get(f"/imports/{import_id}").json["status"] == "finished"


def test_a_failed_job_says_so(client, work, monkeypatch, tmp_path):
    """A job that breaks, here for want of its tables, is `failed` and shows no internals."""
    url = upload(client, HEADER + "a,Ada,TEA,1,1\n").json["url"]
    good = db.engine().url
    db.init(Config(database_url=f"sqlite:///{tmp_path / 'empty.db'}"))
    work()
    db.init(Config(database_url=str(good)))
    assert client.get(url).json == {
        "id": url.rpartition("/")[2],
        "status": "failed",
        "orders": 0,
        "errors": [],
        "url": url,
    }


def test_a_running_job_says_so(web, client, queue, work, monkeypatch):
    """While the job runs, its status is `running`."""
    seen = []
    parse = tasks.csvfile.parse

    def look(text):
        with web.app_context():
            seen.append(imports.find_import(db.Session(), queue, import_id).status)
        return parse(text)

    import_id = upload(client, HEADER + "a,Ada,TEA,1,1\n").json["id"]
    monkeypatch.setattr(tasks.csvfile, "parse", look)
    work()
    assert seen == ["running"]


def test_an_unknown_import_is_not_found(client):
    """An import that nobody started is 404, and so is anything that is no import's name."""
    assert client.get(f"/imports/{uuid.uuid4()}").status_code == 404
    assert client.get("/imports/rq:workers").status_code == 404


@pytest.mark.parametrize(
    ("sent", "field"),
    [
        pytest.param({"data": {}}, "file", id="nothing"),
        pytest.param({"data": {"file": (io.BytesIO(b" \n"), "a.csv")}}, "file", id="blank"),
        pytest.param({"data": b"\xff\xfe", "content_type": "text/csv"}, "file", id="not-utf8"),
    ],
)
def test_a_file_without_text_is_refused_at_once(client, queue, sent, field):
    """What cannot be a CSV file never becomes a job."""
    response = client.post("/imports", **sent)
    assert response.status_code == 422
    assert response.json["errors"][0]["field"] == field
    assert queue.count == 0


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param({"data": {"file": (io.BytesIO(b"x" * 3000), "a.csv")}}, id="form"),
        pytest.param({"data": b"x" * 3000, "content_type": "text/csv"}, id="body"),
    ],
)
def test_a_file_too_large_is_refused(config, web, queue, sent):
    """An upload over the limit is refused with the limit in the answer."""
    response = create_app(replace(config, max_upload_bytes=2048)).test_client().post("/imports", **sent)
    assert (response.status_code, response.mimetype) == (413, "application/problem+json")
    assert "2048 bytes" in response.json["detail"]
    assert queue.count == 0


def test_a_queue_that_is_down_is_a_503(config, web):
    """Without Redis an upload is refused as unavailable, not as an error of the program."""
    application = create_app(Config(database_url=config.database_url, redis_url="redis://127.0.0.1:1/0"))
    response = upload(application.test_client(), HEADER + "a,Ada,TEA,1,1\n")
    assert (response.status_code, response.headers["Retry-After"]) == (503, "1")
    assert response.json["detail"].startswith("the job queue did not answer")


def test_the_file_is_not_in_the_job_description(client, queue):
    """The worker's log gets the file's name, not its contents."""
    upload(client, HEADER + "a,Ada,TEA,1,1\n")
    assert [job.description for job in queue.jobs] == ["import 'body.csv'"]
