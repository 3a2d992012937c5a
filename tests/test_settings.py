"""Settings, from an environment given as a dictionary."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from ullage.setting import SettingError, settings_of
from ullage.settings import (
    ObserveSettings,
    ProbeSettings,
    ServeSettings,
    document,
    observe_settings,
    probe_settings,
    serve_settings,
)

DOCS = Path(__file__).parent.parent / "docs"
SETTINGS = {
    setting.name: (field, kind)
    for kind in (ObserveSettings, ProbeSettings, ServeSettings)
    for field, setting in settings_of(kind).items()
}


def read(name: str, value: str) -> object:
    """Return what a setting is when its variable has the value."""
    field, kind = SETTINGS[name]
    load = {ObserveSettings: observe_settings, ProbeSettings: probe_settings, ServeSettings: serve_settings}[kind]
    return getattr(load({name: value}), field)


class TestDefaults:
    def test_probe(self) -> None:
        """An empty environment gives a probe that measures and changes nothing."""
        assert probe_settings({}) == ProbeSettings(
            directory=Path("/run/ullage"),
            enabled=True,
            role="app",
            container="",
            pre_ping="off",
            leak_threshold_seconds=60.0,
            skip_frames=(),
            app=None,
            proxy_x_for=0,
            proxy_x_proto=0,
            proxy_x_host=0,
            proxy_x_port=0,
            proxy_x_prefix=0,
            probe_paths=("/livez", "/readyz", "/healthz", "/health", "/ping"),
        )

    def test_serve(self) -> None:
        """An empty environment gives a sidecar on port 9145 of every address, without TLS."""
        assert serve_settings({}) == ServeSettings(
            directory=Path("/run/ullage"),
            listen_address="0.0.0.0",
            port=9145,
            web_config_file=None,
            log_level="info",
        )

    def test_observe(self) -> None:
        """An empty environment gives an observer of nothing: neither Redis nor Kubernetes is asked unbidden."""
        assert observe_settings({}) == ObserveSettings(
            listen_address="0.0.0.0",
            port=9145,
            web_config_file=None,
            log_level="info",
            redis_url=None,
            key_prefix="rq",
            queues=(),
            connection_budget=(),
            connection_limit=None,
            pod_selector=None,
            pod_namespace=None,
            metrics_port=9145,
            events=True,
            events_interval_seconds=30.0,
            runbook_url=None,
        )

    @pytest.mark.parametrize("name", SETTINGS)
    @pytest.mark.parametrize("empty", ["", "  "], ids=["empty", "blank"])
    def test_empty_value(self, name: str, empty: str) -> None:
        """An empty value is the same as none at all."""
        field, kind = SETTINGS[name]
        assert read(name, empty) == settings_of(kind)[field].default

    def test_kubernetes_service_link(self) -> None:
        """The ULLAGE_PORT that Kubernetes sets for a Service named ullage is not ours."""
        assert serve_settings({"ULLAGE_PORT": "tcp://10.96.7.1:9145"}).port == 9145


class TestValues:
    @pytest.mark.parametrize(
        ("name", "value", "expected"),
        [
            ("ULLAGE_ENABLED", "0", False),
            ("ULLAGE_ENABLED", "False", False),
            ("ULLAGE_ENABLED", "ON", True),
            ("ULLAGE_ROLE", "worker-high_2", "worker-high_2"),
            ("ULLAGE_CONTAINER", "Zähler", "Zähler"),
            ("ULLAGE_CONTAINER", "c" * 63, "c" * 63),
            ("ULLAGE_PRE_PING", "Enforce", "enforce"),
            ("ULLAGE_LEAK_THRESHOLD_SECONDS", "0.25", 0.25),
            ("ULLAGE_SKIP_FRAMES", "db.py, shop/db.py:get_session", ("db.py", "shop/db.py:get_session")),
            ("ULLAGE_SKIP_FRAMES", "db.py:<lambda>", ("db.py:<lambda>",)),
            ("ULLAGE_APP", "shop.web.main:app", "shop.web.main:app"),
            ("ULLAGE_APP", "shop:create_app()", "shop:create_app()"),
            ("ULLAGE_PROXY_X_FOR", "10", 10),
            ("ULLAGE_PROBE_PATHS", "/up,/", ("/up", "/")),
            ("ULLAGE_PROBE_PATHS", "none", ()),
            ("ULLAGE_LISTEN_ADDRESS", "[::1]", "::1"),
            ("ULLAGE_LISTEN_ADDRESS", "localhost", "localhost"),
            ("ULLAGE_PORT", " 0 ", 0),
            ("ULLAGE_WEB_CONFIG_FILE", "/etc/web.yml", Path("/etc/web.yml")),
            ("ULLAGE_LOG_LEVEL", "DEBUG", "debug"),
            ("ULLAGE_REDIS_URL", "rediss://:p%40ss@redis:6380/1?a=b", "rediss://:p%40ss@redis:6380/1?a=b"),
            ("ULLAGE_REDIS_URL", "unix:///run/redis.sock?db=1", "unix:///run/redis.sock?db=1"),
            ("RQ_KEY_PREFIX", "{shop}rq", "{shop}rq"),
            ("ULLAGE_QUEUES", "high, my queue", ("high", "my queue")),
            ("ULLAGE_CONNECTION_BUDGET", '{"web": 30, "worker-a": 0}', (("web", 30), ("worker-a", 0))),
            ("ULLAGE_CONNECTION_BUDGET", "{}", ()),
            ("ULLAGE_CONNECTION_LIMIT", "151", 151),
            ("ULLAGE_POD_SELECTOR", "a.b/c=shop,tier in (x, y)", "a.b/c=shop,tier in (x, y)"),
            ("ULLAGE_RUNBOOK_URL", "https://example.com/a#b", "https://example.com/a#b"),
        ],
    )
    def test_allowed(self, name: str, value: str, expected: object) -> None:
        """An allowed value is read, whatever its case and the space around it."""
        assert read(name, value) == expected

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("ULLAGE_ENABLED", "maybe"),
            ("ULLAGE_ROLE", "Web"),
            ("ULLAGE_ROLE", "r" * 32),
            ("ULLAGE_CONTAINER", "ü" * 32),
            ("ULLAGE_CONTAINER", "two\nlines"),
            ("ULLAGE_CONTAINER", "\udcff"),
            ("ULLAGE_PRE_PING", "on"),
            ("ULLAGE_LEAK_THRESHOLD_SECONDS", "0"),
            ("ULLAGE_LEAK_THRESHOLD_SECONDS", "-1"),
            ("ULLAGE_LEAK_THRESHOLD_SECONDS", "nan"),
            ("ULLAGE_LEAK_THRESHOLD_SECONDS", "inf"),
            ("ULLAGE_LEAK_THRESHOLD_SECONDS", "9" * 400),
            ("ULLAGE_LEAK_THRESHOLD_SECONDS", "60s"),
            ("ULLAGE_SKIP_FRAMES", "db.py,,cache.py"),
            ("ULLAGE_SKIP_FRAMES", "shop.db"),
            ("ULLAGE_SKIP_FRAMES", "db.py:get session"),
            ("ULLAGE_APP", "shop"),
            ("ULLAGE_APP", "shop:create_app(1)"),
            ("ULLAGE_PROXY_X_PROTO", "11"),
            ("ULLAGE_PROXY_X_HOST", "-1"),
            ("ULLAGE_PROXY_X_PORT", "٣"),
            ("ULLAGE_PROXY_X_PREFIX", "1_0"),
            ("ULLAGE_PROBE_PATHS", "livez"),
            ("ULLAGE_LISTEN_ADDRESS", "0.0.0.0:9145"),
            ("ULLAGE_LISTEN_ADDRESS", "two words"),
            ("ULLAGE_PORT", "65536"),
            ("ULLAGE_PORT", "9" * 5000),
            ("ULLAGE_LOG_LEVEL", "loud"),
            ("RQ_KEY_PREFIX", "a b"),
            ("ULLAGE_QUEUES", "high,,low"),
            ("ULLAGE_CONNECTION_BUDGET", "30"),
            ("ULLAGE_CONNECTION_BUDGET", '{"web": true}'),
            ("ULLAGE_CONNECTION_BUDGET", '{"web": -1}'),
            ("ULLAGE_CONNECTION_BUDGET", '{"web": 1.5}'),
            ("ULLAGE_CONNECTION_BUDGET", '{"": 1}'),
            ("ULLAGE_CONNECTION_LIMIT", "0"),
            ("ULLAGE_POD_NAMESPACE", "Shop"),
            ("ULLAGE_METRICS_PORT", "0"),
            ("ULLAGE_RUNBOOK_URL", "javascript:alert(1)"),
        ],
    )
    def test_refused(self, name: str, value: str) -> None:
        """Any other value is refused in one line with the name, the value and what is allowed."""
        with pytest.raises(SettingError) as caught:
            read(name, value)
        field, kind = SETTINGS[name]
        text = str(caught.value)
        assert text.startswith(f"{name}={value[:77]!r}"[:40])
        assert text.endswith(f" is not allowed: it takes {settings_of(kind)[field].kind.allowed}")
        assert text.isprintable()
        assert len(text) < 300

    def test_relative_directory(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A relative directory stays the one it was when the settings were read."""
        monkeypatch.chdir(tmp_path)
        settings = probe_settings({"ULLAGE_DIR": "segments"})
        monkeypatch.chdir("/")
        assert settings.directory == tmp_path / "segments"


class TestSecrets:
    @pytest.mark.parametrize(
        "value",
        [
            "http://:s3cret@redis",
            "redis://:s3/cret@redis",
            "redis://:s3#cret@redis",
            "redis://:s3cret@redis:port",
            "s3cret",
        ],
    )
    def test_refused_url(self, value: str) -> None:
        """A refused Redis URL is not quoted; nor is one taken whose password would be shown as a host or a path."""
        with pytest.raises(SettingError, match=rf"^ULLAGE_REDIS_URL of {len(value)} characters is not") as caught:
            read("ULLAGE_REDIS_URL", value)
        assert "cret" not in str(caught.value)

    def test_repr(self) -> None:
        """The settings as text have no password."""
        assert "s3cret" not in repr(observe_settings({"ULLAGE_REDIS_URL": "redis://:s3cret@redis"}))


class TestFallbacks:
    @pytest.mark.parametrize(
        ("given", "expected"),
        [
            (("ULLAGE_REDIS_URL", "RQ_REDIS_URL", "REDIS_URL"), "ULLAGE_REDIS_URL"),
            (("RQ_REDIS_URL", "REDIS_URL"), "RQ_REDIS_URL"),
            (("REDIS_URL",), "REDIS_URL"),
        ],
        ids=["own", "rq", "plain"],
    )
    def test_order(self, given: tuple[str, ...], expected: str) -> None:
        """The Redis URL is ullage's own, else RQ's, else the plain one."""
        environ = {name: f"redis://{name.lower().replace('_', '-')}" for name in given}
        assert observe_settings(environ).redis_url == environ[expected]


class TestFlags:
    def test_override(self) -> None:
        """A flag wins over the environment, even over a bad value there."""
        assert serve_settings({"ULLAGE_PORT": "x"}, {"ULLAGE_PORT": "9200"}).port == 9200

    def test_bad_flag(self) -> None:
        """A bad flag is named as the flag that was typed."""
        with pytest.raises(SettingError, match=r"^--port='http' is not allowed: it takes an integer from 0 to"):
            serve_settings({}, {"ULLAGE_PORT": "http"})


class TestLenient:
    def test_bad_values_in_an_application(self) -> None:
        """With `complain` a bad value raises nothing: it says what was wrong and what is used instead."""
        complaints: list[str] = []
        settings = probe_settings(
            {"ULLAGE_PRE_PING": "on", "ULLAGE_ROLE": "web", "ULLAGE_PROXY_X_FOR": "many"}, complaints.append
        )
        assert (settings.role, settings.pre_ping, settings.proxy_x_for) == ("web", "off", 0)
        assert complaints == [
            "ULLAGE_PRE_PING='on' is not allowed: it takes off or enforce; using the default, off",
            "ULLAGE_PROXY_X_FOR='many' is not allowed: it takes an integer from 0 to 10; using the default, 0",
        ]


class TestImport:
    def test_standard_library_only(self) -> None:
        """Importing settings in an application brings in nothing but ullage and the standard library."""
        code = (
            "import sys; before = set(sys.modules); import ullage.settings;"
            "names = {name.partition('.')[0] for name in set(sys.modules) - before};"
            "print(sorted(names - set(sys.stdlib_module_names)))"
        )
        found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert found.stdout == "['ullage']\n"


class TestDocument:
    def test_page_is_current(self) -> None:
        """docs/settings.md is what `python -m ullage.settings` prints."""
        assert (DOCS / "settings.md").read_text() == document()

    @pytest.mark.parametrize("name", SETTINGS)
    def test_every_setting(self, name: str) -> None:
        """Every setting is on the page with its default."""
        assert f"| `{name}`" in document()
