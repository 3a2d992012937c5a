"""What the worker imports and calls before its first job, and what it says when that fails."""

from __future__ import annotations

import re

import pytest

from tests import servers
from tests.worker.shop import Shop, result


class TestPreload:
    @pytest.mark.parametrize("by", ["option", "environment"])
    def test_module(self, shop: Shop, by: str) -> None:
        """A named module is imported once, in the worker, and every job still runs in a fork of its own."""
        jobs = [shop.queue.enqueue("shop.tasks.where") for _ in range(3)]
        worker = shop.run("--preload", "shop.tasks") if by == "option" else shop.run(ULLAGE_PRELOAD="shop.tasks")
        assert worker.wait() == 0, worker.text
        assert shop.imports == [worker.process.pid]
        pids, parents, _ = zip(*map(result, jobs), strict=True)
        assert len({*pids, worker.process.pid}) == 4
        assert set(parents) == {worker.process.pid}
        assert re.search(r"Preloaded shop\.tasks in \d+\.\d\d s", worker.text)

    @pytest.mark.parametrize("name", ["shop.web:create_app", "shop.web:create_app()", "shop.web:Shop.open"])
    def test_callable(self, shop: Shop, name: str) -> None:
        """A named callable is called once, in the worker, before the first job."""
        shop.write(
            "web",
            """
            import os
            made = []
            def create_app():
                made.append(os.getpid())
            class Shop:
                open = staticmethod(create_app)
            def seen():
                return made
            """,
        )
        jobs = [shop.queue.enqueue("shop.web.seen") for _ in range(2)]
        worker = shop.run("--preload", name)
        assert [result(job) for job in jobs] == [[worker.process.pid]] * 2

    def test_several(self, shop: Shop) -> None:
        """Several are preloaded in the order given, and `auto` adds what the waiting jobs tell."""
        shop.write("one", "print('order: one')")
        shop.write("two", "print('order: two')")
        shop.queue.enqueue("shop.tasks.where")
        worker = shop.run("--preload", "shop.two", "--preload", "shop.one", "--preload", "auto")
        assert re.findall("order: (.*)", worker.text) == ["two", "one"]
        assert "Preloaded shop.two, shop.one, shop.tasks in" in worker.text

    def test_waiting_jobs(self, shop: Shop) -> None:
        """Without --preload the functions of waiting jobs tell what to import, once, in the worker."""
        jobs = [shop.queue.enqueue("shop.tasks.where") for _ in range(3)]
        worker = shop.run()
        assert worker.wait() == 0, worker.text
        assert shop.imports == [worker.process.pid]
        assert all(result(job)[1] == worker.process.pid for job in jobs)

    def test_waiting_jobs_are_bounded(self, shop: Shop) -> None:
        """Of a long queue 25 jobs at each end are looked at, and nothing between them."""
        for name in ("first", "between", "last"):
            shop.write(name, f"print('imported {name}')\nfrom shop.tasks import where")
        for name, count in (("tasks", 24), ("first", 1), ("between", 9), ("last", 1), ("tasks", 24)):
            for _ in range(count):
                shop.queue.enqueue(f"shop.{name}.where")
        worker = shop.run("--max-jobs", "1")
        assert re.findall("imported (.*)", worker.text) == ["first", "last"]

    def test_waiting_jobs_that_cannot_be_imported(self, shop: Shop) -> None:
        """A waiting job whose function cannot be imported is a warning with the line; the others run."""
        path = shop.write("broken", "\nraise RuntimeError('no way')\ndef run(): pass\n")
        bad, good, undecodable = (
            shop.queue.enqueue(name) for name in ("shop.broken.run", "shop.tasks.where", "shop.tasks.where")
        )
        shop.redis.hset(undecodable.key, "data", b"garbage")
        worker = shop.run()
        assert worker.wait() == 0, worker.text
        assert f"Not preloaded: the function of job {bad.id}: RuntimeError: no way; raised at {path}:2" in worker.text
        bad.refresh()
        assert bad.is_failed
        assert result(good)[1] == worker.process.pid

    def test_nothing_waits(self, shop: Shop) -> None:
        """When no job waits the log says that nothing was preloaded and how to name it."""
        assert "Preloaded nothing, as no job is waiting that tells what" in shop.run().text

    @pytest.mark.parametrize("by", ["option", "environment"])
    def test_off(self, shop: Shop, by: str) -> None:
        """--no-preload leaves importing to the jobs, as under `rq worker`."""
        jobs = [shop.queue.enqueue("shop.tasks.where") for _ in range(2)]
        worker = shop.run("--no-preload") if by == "option" else shop.run(ULLAGE_PRELOAD="none")
        assert shop.imports == [result(job)[0] for job in jobs]
        assert "Preloaded" not in worker.text

    def test_nothing_is_left_to_import(self, shop: Shop) -> None:
        """A horse of a preloaded application imports nothing at all, neither the application's code nor RQ's."""
        shop.write(
            "web",
            """
            import sys
            seen = set()
            def mark():
                seen.update(sys.modules)
            def late():
                return sorted(set(sys.modules) - seen)
            """,
        )
        job = shop.queue.enqueue("shop.web.late")
        shop.run("--preload", "shop.web:mark")
        assert result(job) == []

    def test_memory_is_shared(self, shop: Shop) -> None:
        """What was preloaded is frozen before the fork, so that no collection copies it into the horse."""
        job = shop.queue.enqueue("shop.tasks.where")
        shop.run()
        assert result(job)[2] > 10_000

    @pytest.mark.parametrize(
        ("name", "text", "message"),
        [
            pytest.param(
                "shop.web",
                "\n\nint('x')\n",
                "shop.web: ValueError: invalid literal for int() with base 10: 'x'; raised at {path}:3 in <module>",
                id="import",
            ),
            pytest.param(
                "shop.web:create_app",
                "import json\ndef create_app():\n    json.loads('{{')\n",
                "shop.web:create_app: JSONDecodeError: Expecting property name enclosed in double quotes: "
                "line 1 column 2 (char 1); raised at {path}:3 in create_app",
                id="called, in a library",
            ),
            pytest.param("shop.web", "def (:\n", "shop.web: SyntaxError: ", id="syntax"),
            pytest.param("shop.web", "import sys\nsys.exit('no DATABASE_URL')\n", "{path}:2 in <module>", id="exit"),
            pytest.param(
                "shop.web",
                "import no_such_library\n",
                "shop.web: ModuleNotFoundError: No module named 'no_such_library'; raised at {path}:1 in <module>",
                id="missing library",
            ),
            pytest.param(
                "shop.wbe",
                "",
                "shop.wbe: ModuleNotFoundError: No module named 'shop.wbe'; name its parent directory with --path",
                id="missing module",
            ),
            pytest.param(
                "shop.web:app",
                "class App:\n    def __call__(self, environ, start_response): pass\napp = App()\n",
                "shop.web:app: it cannot be called without arguments (missing a required argument: 'environ'); "
                "to import it only, name the module: --preload shop.web",
                id="application",
            ),
            pytest.param(
                "shop.web:url",
                "url = ''\n",
                "shop.web:url: it cannot be called without arguments (it is of type str)",
                id="no callable",
            ),
            pytest.param("shop.web:main", "", "shop.web:main: AttributeError: module 'shop.web'", id="no attribute"),
        ],
    )
    def test_failure(self, shop: Shop, name: str, text: str, message: str) -> None:
        """A preload that fails says what failed and at which line, and exits with 1 before taking a job."""
        path = shop.write("web", text.replace("{{", "{"))
        job = shop.queue.enqueue("shop.tasks.where")
        worker = shop.run("--preload", name)
        assert worker.wait() == 1
        last = worker.text.splitlines()[-1]
        assert last.startswith("ullage worker: cannot preload ")
        assert message.format(path=path) in last
        assert (job.get_status(), shop.queue.job_ids) == ("queued", [job.id])
        assert not shop.redis.smembers(f"rq:workers:{shop.queue.name}")

    def test_bad_name(self, shop: Shop) -> None:
        """A name that can be no module's is one line, with status 2."""
        worker = shop.run("--preload", "shop/web.py")
        assert worker.wait() == 2
        assert worker.text == (
            "ullage worker: --preload='shop/web.py' is not allowed: it takes `module`, `module:callable` or `auto`, "
            "separated by commas, or none\n"
        )

    def test_connections(self, shop: Shop, mariadb: servers.MariaDB, mariadb_database: str) -> None:
        """An engine may be warmed by preloading: no horse shares its connection, and none idles in the worker."""
        shop.write(
            "db",
            f"""
            from sqlalchemy import create_engine, text
            engine = create_engine({mariadb_database!r})
            warmed = []
            def connection_id():
                with engine.connect() as connection:
                    return connection.execute(text("SELECT CONNECTION_ID()")).scalar()
            def warm():
                warmed.append(connection_id())
            def run():
                return [warmed[0], connection_id()]
            """,
        )
        jobs = [shop.queue.enqueue("shop.db.run") for _ in range(3)]
        last, key = shop.start_waiting_job()
        worker = shop.start("--preload", "shop.db:warm")
        shop.await_start(key)
        warmed, own = zip(*map(result, jobs), strict=True)
        assert len(set(warmed)) == 1
        assert len({*own, *warmed}) == 4
        database = mariadb_database.rpartition("/")[2].partition("?")[0]
        servers.wait_for(
            lambda: not re.search(rf"\b{database}\b", str(mariadb.execute("SHOW PROCESSLIST"))),
            what="the end of all connections",
        )
        shop.redis.rpush(f"{key}:go", 1)
        servers.wait_for(lambda: last.get_status(refresh=True) == "finished", what="the last job")
        assert worker.process.poll() is None
