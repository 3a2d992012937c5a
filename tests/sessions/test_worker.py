"""What a job on a real worker can rely on, with the documented examples among them."""

from __future__ import annotations

import re

import pytest
from rq.job import Callback

from tests.sessions.shop import FLASK_SQLALCHEMY, PLAIN, ROOT

both_kinds = pytest.mark.parametrize(
    "models", [pytest.param(FLASK_SQLALCHEMY, id="flask_sqlalchemy"), pytest.param(PLAIN, id="plain")]
)
both_workers = pytest.mark.parametrize("worker", ["SimpleWorker", "Worker"])
with_and_without_probe = pytest.mark.parametrize(
    "measured", [pytest.param(True, id="measured"), pytest.param(False, id="not-measured")]
)


class TestInAWorker:
    """What a job can rely on."""

    @both_kinds
    @both_workers
    def test_a_job_uses_the_session_and_the_model_without_an_application(self, make_shop, models, worker):
        """Rows are written and read by jobs in which no context was pushed."""
        shop = make_shop(models)
        shop.enqueue("add", "one")
        found, state = shop.enqueue("notes"), shop.enqueue("flask_state")
        shop.work(worker)
        assert found.return_value() == ["one"]
        assert state.return_value() == (False, False)
        assert shop.leaks() == {}

    @both_workers
    @with_and_without_probe
    def test_the_session_is_removed_at_the_end_of_every_job(self, make_shop, worker, measured):
        """With a pool of one connection, none of six jobs meets that of the job before, and none is out at the end."""
        shop = make_shop()
        jobs = [shop.enqueue("look", number) for number in range(6)]
        shop.work(worker, measured=measured)
        assert [job.return_value() for job in jobs] == [0] * 6
        assert shop.leaks() == {}

    @pytest.mark.parametrize(
        ("database_url", "models", "worker", "measured"),
        [
            pytest.param("mariadb", FLASK_SQLALCHEMY, "SimpleWorker", True, id="flask_sqlalchemy"),
            pytest.param("mariadb", FLASK_SQLALCHEMY, "Worker", True, id="flask_sqlalchemy-forking"),
            pytest.param("sqlite", FLASK_SQLALCHEMY, "SimpleWorker", False, id="flask_sqlalchemy-not-measured"),
            pytest.param("sqlite", PLAIN, "SimpleWorker", True, id="plain"),
            pytest.param("mariadb", PLAIN, "SimpleWorker", False, id="plain-not-measured"),
        ],
        indirect=["database_url"],
    )
    def test_the_next_job_does_not_commit_what_a_job_forgot(self, make_shop, models, worker, measured):
        """Rows of jobs that did not commit, failed or timed out never appear, also when a job commits after them."""
        shop = make_shop(models)
        shop.enqueue("forget", "forgotten")
        shop.enqueue("add", "one")
        shop.enqueue("fail")
        shop.enqueue("add", "two")
        shop.enqueue("hang", job_timeout=1)
        shop.enqueue("add", "three")
        shop.work(worker, measured=measured)
        assert shop.notes() == ["one", "two", "three"]
        assert shop.leaks() == {}

    def test_a_callback_is_part_of_its_job(self, make_shop):
        """What RQ's success callback leaves in the session is released before the next job."""
        shop = make_shop()
        shop.enqueue("add", "one", on_success=Callback("shop.tasks.callback"))
        shop.enqueue("add", "two")
        shop.work("SimpleWorker")
        assert shop.notes() == ["one", "two"]
        assert shop.leaks() == {}

    def test_a_workers_own_clean_up_is_part_of_the_job(self, make_shop):
        """What a worker's subclass queries after `super().perform_job()` is released before it is judged."""
        shop = make_shop()
        shop.write(
            "preload",
            """
            import rq
            from shop import tasks

            class SimpleWorker(rq.SimpleWorker):
                def perform_job(self, *args, **kwargs):
                    try:
                        return super().perform_job(*args, **kwargs)
                    finally:
                        tasks.notes()

            rq.SimpleWorker = SimpleWorker
            """,
        )
        shop.enqueue("add", "one")
        shop.work("SimpleWorker", preload="shop.preload")
        assert shop.notes() == ["one"]
        assert shop.leaks() == {}

    @pytest.mark.parametrize(
        ("database_url", "models", "measured"),
        [
            pytest.param("mariadb", FLASK_SQLALCHEMY, True, id="flask_sqlalchemy"),
            # An engine of the application's own is the fork probe's to dispose of.
            pytest.param("mariadb", FLASK_SQLALCHEMY, False, id="flask_sqlalchemy-not-measured"),
            pytest.param("mariadb", PLAIN, True, id="plain"),
        ],
        indirect=["database_url"],
    )
    def test_a_work_horse_leaves_its_parents_session_alone(self, make_shop, models, measured):
        """A preloaded worker with an open transaction keeps it, and its horses have connections of their own."""
        shop = make_shop(models)
        shop.write(
            "preload",
            """
            from shop import tasks
            tasks.forget("parent")

            def at_the_end():
                tasks.Session.commit()
            """,
        )
        jobs = [shop.enqueue("add", f"child {number}") for number in range(3)]
        shop.work("Worker", measured=measured, preload="shop.preload")
        assert {job.get_status() for job in jobs} == {"finished"}
        assert sorted(shop.notes()) == ["child 0", "child 1", "child 2", "parent"]

    def test_strict_does_not_fail_a_job_for_what_is_released_for_it(self, make_shop):
        """Under `strict` a job that leaves the release to ullage.sessions finishes, on a forking worker too."""
        shop = make_shop()
        jobs = [shop.enqueue("look", number) for number in range(2)]
        shop.work("SimpleWorker", ULLAGE_POLICY="strict")
        jobs.append(shop.enqueue("look", 2))
        shop.work("Worker", ULLAGE_POLICY="strict")
        assert [(job.get_status(), job.return_value()) for job in jobs] == [("finished", 0)] * 3


@pytest.mark.parametrize("section", ["With Flask-SQLAlchemy", "With SQLAlchemy alone"])
def test_the_documented_examples_run(make_shop, section):
    """Tasks and web application of docs/sessions.md work as they stand there, in a worker that imported both."""
    shop = make_shop()
    text = (ROOT / "docs" / "sessions.md").read_text().partition(f"## {section}\n")[2].partition("\n## ")[0]
    modules = dict(re.findall(r"```python\n# shop/(\w+)\.py\n(.*?)```", text, re.DOTALL))
    assert set(modules) == {"models", "tasks", "web"}
    for name, code in modules.items():
        shop.write(name, code)
    shop.write(
        "preload",
        """
        from shop.web import create_app

        def at_the_end():
            assert create_app().test_client().get("/").text == "2"
        """,
    )
    jobs = [shop.enqueue("add", note) for note in ("one", "two")]
    shop.work("SimpleWorker", preload="shop.preload")
    assert [job.return_value() for job in jobs] == [1, 2]
    assert shop.leaks() == {}
