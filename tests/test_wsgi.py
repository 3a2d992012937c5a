"""The Gunicorn entry: how ULLAGE_APP is loaded, what it says when it cannot be, and a run on Gunicorn itself."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from flask import Flask
from prometheus_client import CollectorRegistry
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.test import EnvironBuilder, run_wsgi_app

from tests.servers import end_process, free_port, owned_command
from ullage import wsgi
from ullage.collector import Collector
from ullage.setting import SettingError

SHOP = """
from flask import Flask, request
from werkzeug.middleware.proxy_fix import ProxyFix

app = Flask(__name__)
app.add_url_rule("/address", "address", lambda: request.remote_addr)
inside = Flask("inside")
inside.wsgi_app = ProxyFix(inside.wsgi_app, x_for=2)
outside = ProxyFix(app, x_for=1)
unset = None
number = 3

def create_app():
    return app

def create_nothing():
    return None

def create_app_of(config):
    return app

def create_badly():
    return app.no_such_attribute
"""


@pytest.fixture
def write_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, str], None]]:
    """Give a function that writes a module which can be imported until the test ends."""
    before = set(sys.modules)
    (tmp_path / "modules").mkdir()
    monkeypatch.syspath_prepend(tmp_path / "modules")

    def write(name: str, source: str) -> None:
        (tmp_path / "modules" / f"{name}.py").write_text(source)

    yield write
    for name in set(sys.modules) - before:
        if name.startswith("shop"):
            del sys.modules[name]


@pytest.fixture
def make(write_module, tmp_path) -> Callable[..., object]:
    """Give a function that makes the entry's application from the module `shop` and settings."""
    write_module("shop", SHOP)

    def make_app(app: str | None = None, **settings: str) -> object:
        environ = {"ULLAGE_DIR": str(tmp_path), "ULLAGE_ENABLED": "0", **settings}
        return wsgi.make_app({**environ, "ULLAGE_APP": app} if app else environ)

    return make_app


def address(app: object, **headers: str) -> str:
    """Return the address that the application takes for its client's."""
    parts, _, _ = run_wsgi_app(app, EnvironBuilder("/address", headers=headers).get_environ(), buffered=True)
    return b"".join(parts).decode()


class TestLoading:
    """What ULLAGE_APP may name."""

    @pytest.mark.parametrize("target", ["shop:app", "shop:create_app()"])
    def test_an_attribute_or_a_factory(self, make, target):
        """`module:attribute` and `module:factory()` both give the application itself."""
        assert make(target) is sys.modules["shop"].app

    @pytest.mark.parametrize(
        ("target", "message"),
        [
            (None, "ULLAGE_APP is not set; set it to the application to serve, as `module:attribute` or"),
            ("shp:app", "ULLAGE_APP='shp:app': there is no module 'shp'; looked in "),
            ("shop.web:app", "ULLAGE_APP='shop.web:app': there is no module 'shop.web'; looked in "),
            ("shop:creat_app", "'shop:creat_app': shop has no 'creat_app'; it has create_app"),
            ("shop:zzz", "ULLAGE_APP='shop:zzz': shop has no 'zzz'; nothing in it has a name like that"),
            ("shop:unset", "ULLAGE_APP='shop:unset' is None when the module has been imported"),
            ("shop:number", "ULLAGE_APP='shop:number' is no WSGI application but a value of type int"),
            (
                "shop:create_app",
                "ULLAGE_APP='shop:create_app' is no WSGI application but function create_app(); "
                "if it makes the application, write it with ()",
            ),
            ("shop:number()", "'shop:number()' cannot be called: it is a value of type int; write it without ()"),
            (
                "shop:create_app_of()",
                "ULLAGE_APP='shop:create_app_of()' is called without arguments, and takes (config); "
                "name a factory that needs none",
            ),
            ("shop:create_nothing()", "returned no WSGI application but a value of type NoneType"),
        ],
    )
    def test_a_target_that_leads_nowhere_is_explained(self, make, target, message):
        """One line has the value, what is wrong with it and what would be right."""
        with pytest.raises(wsgi.EntryError) as error:
            make(target)
        assert message in str(error.value)
        assert "\n" not in str(error.value)

    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            ({"ULLAGE_APP": "shop/app.py"}, "ULLAGE_APP='shop/app.py' is not allowed: it takes `module:attribute` or"),
            ({"ULLAGE_PROXY_X_PROTO": "11"}, "ULLAGE_PROXY_X_PROTO='11' is not allowed: it takes an integer from 0 to"),
        ],
        ids=["app", "count"],
    )
    def test_a_bad_value_is_refused(self, make, settings, message):
        """A bad ULLAGE_APP or count is not replaced by a default: the application would run, but not as meant."""
        with pytest.raises(SettingError) as error:
            make(**{"ULLAGE_APP": "shop:app", **settings})
        assert message in str(error.value)

    def test_a_missing_import_of_the_application_is_its_own_error(self, make, write_module):
        """An import that fails inside the application is shown as what it is."""
        write_module("shop_broken", "import no_such_dependency")
        with pytest.raises(ModuleNotFoundError, match="no_such_dependency"):
            make("shop_broken:app")

    def test_the_entry_ends_with_one_line(self, monkeypatch, capsys):
        """Without ULLAGE_APP there is one line, and the status that makes Gunicorn give up."""
        monkeypatch.delenv("ULLAGE_APP", raising=False)
        with pytest.raises(SystemExit) as ended:
            _ = wsgi.app
        assert ended.value.code == 4
        [line] = capsys.readouterr().err.splitlines()
        assert line.startswith("ullage.wsgi: ULLAGE_APP is not set; set it to")

    def test_an_attribute_error_of_the_application_is_not_hidden(self, make, monkeypatch):
        """Python takes an AttributeError here for a missing `app`; the application's own is passed on as its cause."""
        monkeypatch.setenv("ULLAGE_APP", "shop:create_badly()")
        monkeypatch.setenv("ULLAGE_ENABLED", "0")
        with pytest.raises(RuntimeError, match="no_such_attribute") as error:
            _ = wsgi.app
        assert isinstance(error.value.__cause__, AttributeError)

    def test_the_application_is_made_once(self, make, monkeypatch):
        """`app` is the same object each time."""
        monkeypatch.setenv("ULLAGE_APP", "shop:create_app()")
        monkeypatch.setenv("ULLAGE_ENABLED", "0")
        monkeypatch.setenv("ULLAGE_PROXY_X_FOR", "1")
        monkeypatch.delitem(vars(wsgi), "app", raising=False)
        first = wsgi.app
        assert wsgi.app is first
        monkeypatch.delitem(vars(wsgi), "app")

    def test_there_is_nothing_else(self):
        """Another name is an ordinary AttributeError."""
        with pytest.raises(AttributeError, match=r"module 'ullage\.wsgi' has no attribute 'application'"):
            _ = wsgi.application


class TestProxies:
    """ProxyFix with the counts that are configured."""

    def test_without_counts_nothing_is_trusted(self, make):
        """The application is served as it is, and believes no header."""
        assert isinstance(make("shop:app"), Flask)

    def test_the_counts_are_set_apart(self, make):
        """Each of the five headers has its own number of proxies."""
        names = ("for", "proto", "host", "port", "prefix")
        app = make("shop:app", **{f"ULLAGE_PROXY_X_{name.upper()}": str(n) for n, name in enumerate(names)})
        assert isinstance(app, ProxyFix)
        assert [getattr(app, f"x_{name}") for name in names] == [0, 1, 2, 3, 4]

    def test_the_client_is_seen_through_the_proxies(self, make):
        """With two proxies the second address from the right is the client's."""
        forwarded = {"X-Forwarded-For": "198.51.100.66, 203.0.113.7, 10.0.0.1"}
        assert address(make("shop:app", ULLAGE_PROXY_X_FOR="2"), **forwarded) == "203.0.113.7"

    @pytest.mark.parametrize(("target", "x_for"), [("shop:inside", 2), ("shop:outside", 1)])
    def test_an_application_in_a_proxy_fix_gets_no_second_one(self, make, caplog, target, x_for):
        """The application's own ProxyFix stays alone, and one line says which counts are in force."""
        app = make(target, ULLAGE_PROXY_X_FOR="3")
        assert app is getattr(sys.modules["shop"], target.partition(":")[2])
        [record] = caplog.records
        assert record.message.startswith(f"{target} is in a ProxyFix of its own (x_for={x_for}, x_proto=1, x_host=0, ")

    def test_nothing_is_said_where_nothing_is_configured(self, make, caplog):
        """An application with its own ProxyFix and no counts is the ordinary case."""
        make("shop:inside")
        assert caplog.records == []


SERVED = """
import os
from flask import Flask, request
from sqlalchemy import create_engine, text
from sqlalchemy.pool import QueuePool

engine = create_engine(
    os.environ["SHOP_DATABASE"],
    poolclass=QueuePool,
    pool_logging_name="shop",
    connect_args={"check_same_thread": False},  # which SQLAlchemy 1.4 leaves to its user
)
kept = []

def create_app():
    app = Flask(__name__)

    @app.get("/orders/<int:number>")
    def show(number):
        with engine.connect() as connection:
            return {"address": request.remote_addr, "number": connection.scalar(text(f"SELECT {number}"))}

    @app.get("/leak")
    def leak():
        kept.append(engine.connect())
        return {}

    return app
"""


class Served:
    """An application on Gunicorn, and what its segments say."""

    def __init__(self, url: str, directory: Path) -> None:
        self.url = url
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(Collector(directory))

    def get(self, path: str, **headers: str) -> dict[str, object]:
        """Send a request and return the JSON answer."""
        with urllib.request.urlopen(urllib.request.Request(self.url + path, headers=headers)) as response:
            answer: dict[str, object] = json.load(response)
        return answer

    def value(self, name: str, **labels: str) -> float | None:
        """Return a sample of the role `web`."""
        return self._registry.get_sample_value(name, {"role": "web", **labels})

    def count_of(self, name: str, **labels: str) -> float:
        """Return the sum of the samples that have these labels among others."""
        samples = [sample for family in self._registry.collect() for sample in family.samples if sample.name == name]
        return sum(sample.value for sample in samples if labels.items() <= sample.labels.items())


def start_gunicorn(port: int, log: Path, environ: dict[str, str], *options: str) -> subprocess.Popen[bytes]:
    """Start Gunicorn on `ullage.wsgi:app`."""
    command = [sys.executable, "-m", "gunicorn", "--bind", f"127.0.0.1:{port}", *options, "ullage.wsgi:app"]
    home = {"HOME": str(log.parent), "GUNICORN_CMD_ARGS": "", "PYTHONPATH": str(log.parent / "modules")}
    with log.open("wb") as output:
        return subprocess.Popen(
            owned_command(command), cwd=log.parent, env={**os.environ, **home, **environ}, stdout=output, stderr=output
        )


@pytest.fixture
def served(write_module, tmp_path, wait_for) -> Iterator[Served]:
    """Give the application on Gunicorn with two workers of two threads, behind one proxy."""
    write_module("shop_served", SERVED)
    port, directory = free_port(), tmp_path / "segments"
    directory.mkdir()
    environ = {
        "ULLAGE_APP": "shop_served:create_app()",
        "ULLAGE_DIR": str(directory),
        "ULLAGE_ROLE": "web",
        "ULLAGE_PROXY_X_FOR": "1",
        "SHOP_DATABASE": f"sqlite:///{tmp_path}/shop.db",
    }
    options = ("--workers", "2", "--threads", "2", "--worker-class", "gthread")
    log = tmp_path / "gunicorn.log"
    process = start_gunicorn(port, log, environ, *options)
    application = Served(f"http://127.0.0.1:{port}", directory)
    try:
        wait_for(lambda: application.value("ullage_probe_up", probe="flask") == 2, 30, "two measured workers")
        yield application
    finally:
        end_process(process, signal.SIGTERM, 20)


class TestGunicorn:
    """The entry on Gunicorn itself."""

    def test_an_unchanged_application_is_measured(self, served, wait_for):
        """Requests by rule, hops by what was seen, and a leak by its route, over all workers."""
        for number in range(20):
            answer = served.get(f"/orders/{number}", **{"X-Forwarded-For": "203.0.113.7"})
            assert answer == {"address": "203.0.113.7", "number": number}
        served.get("/leak")
        shown = {"method": "GET", "route": "/orders/<int:number>", "status": "200"}
        wait_for(lambda: served.count_of("flask_requests_total") == 21, what="21 requests")
        assert served.value("flask_requests_total", **shown) == 20
        assert served.value("flask_request_duration_seconds_count", **shown) == 20
        assert served.value("sqlalchemy_pool_checkouts_total", engine="shop") == 21
        assert served.value("flask_forwarded_hops_total", seen="expected") == 20
        assert served.value("flask_forwarded_hops_total", seen="missing") == 1
        assert served.value("flask_development_server") == 0
        assert served.count_of("sqlalchemy_unreleased_sessions_total", function="/leak") == 1
        assert served.count_of("sqlalchemy_unreleased_sessions_total", kind="held_at_request_end") == 1

    def test_gunicorn_gives_up_on_a_bad_entry(self, write_module, tmp_path):
        """Gunicorn does not start its workers again and again: it prints the line and ends."""
        write_module("shop", SHOP)
        log = tmp_path / "gunicorn.log"
        environ = {"ULLAGE_APP": "shop:creat_app", "ULLAGE_DIR": str(tmp_path)}
        process = start_gunicorn(free_port(), log, environ)
        try:
            assert process.wait(30) == 4
        finally:
            end_process(process, signal.SIGKILL, 5)
        assert "ullage.wsgi: ULLAGE_APP='shop:creat_app': shop has no 'creat_app'; it has create_app" in log.read_text()
