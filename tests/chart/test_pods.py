"""What runs in the pods: the rendered commands and variables are read by the programs that they are for."""

from __future__ import annotations

import json
from typing import Any

import pytest
from gunicorn.app.wsgiapp import WSGIApplication

from tests.chart import helm
from tests.chart.environment import container_of, merged, resolve
from tests.chart.helm import Manifest, Objects, Values
from ullage.settings import observe_settings, probe_settings, serve_settings, worker_settings
from ullage.worker.command import build_command

SERVERS: Values = {"database": {"host": "db"}, "redis": {"host": "redis"}}
INJECTED = {"enabled": True}


def render(*values: dict[str, Any], **options: Any) -> Objects:
    """Return the objects of a release with external servers."""
    return helm.render(merged(dict(SERVERS), *values), **options)


def web(*values: dict[str, Any]) -> Manifest:
    """Return web's container."""
    return container_of(render(*values), "Deployment", "web", "web")


def worker(own: dict[str, Any], *values: dict[str, Any], name: str = "worker") -> Manifest:
    """Return a container of the only worker set."""
    objects = render({"workers": [{"name": "default", **own}]}, *values)
    return container_of(objects, "Deployment", "worker", name)


def environment(container: Manifest) -> dict[str, str]:
    """Return the variables that have a value."""
    return {variable["name"]: variable["value"] for variable in container["env"] if "value" in variable}


def complain(*arguments: object) -> None:
    """Fail on whatever a program says against its settings."""
    raise AssertionError(arguments)


def options(container: Manifest) -> dict[str, Any]:
    """Return what `ullage worker` takes from its command line."""
    program, subcommand, *arguments = container["command"]
    assert (program, subcommand) == ("ullage", "worker")
    return build_command().make_context("worker", arguments).params


class Gunicorn(WSGIApplication):
    """Gunicorn with a command line that is given."""

    def __init__(self, command: list[str]) -> None:
        self.command = command
        super().__init__(prog="gunicorn")

    def load_config(self) -> None:
        """Parse the command as Gunicorn does, without its environment."""
        chosen = self.cfg.parser().parse_args(self.command[1:])
        for name, value in vars(chosen).items():
            if name != "args" and value is not None:
                self.cfg.set(name.lower(), value)
        self.target = chosen.args


class TestWeb:
    def test_gunicorn_understands_its_command(self) -> None:
        """Gunicorn's own parser takes the command, and every value of web.gunicorn arrives."""
        values = {
            "workers": 3,
            "threads": 5,
            "timeoutSeconds": 61,
            "gracefulTimeoutSeconds": 29,
            "keepAliveSeconds": 76,
            "maxRequests": 1000,
            "maxRequestsJitter": 50,
            "accessLog": True,
            "extraArgs": ["--log-level", "debug"],
        }
        gunicorn = Gunicorn(web({"web": {"gunicorn": values, "port": 8080}})["command"])
        found = gunicorn.cfg.settings
        assert gunicorn.target == ["ullage.wsgi:app"]
        assert found["bind"].get() == ["0.0.0.0:8080"]
        assert (gunicorn.cfg.workers, gunicorn.cfg.threads, gunicorn.cfg.worker_tmp_dir) == (3, 5, "/dev/shm")
        assert (gunicorn.cfg.timeout, gunicorn.cfg.graceful_timeout, gunicorn.cfg.keepalive) == (61, 29, 76)
        assert (gunicorn.cfg.max_requests, gunicorn.cfg.max_requests_jitter) == (1000, 50)
        assert (found["accesslog"].get(), found["loglevel"].get()) == ("-", "debug")
        assert gunicorn.cfg.control_socket_disable

    def test_it_listens_on_ipv6_where_the_sidecar_does(self) -> None:
        """With exporter.listenAddress :: Gunicorn binds both families, and the Service may have both."""
        objects = render({"exporter": {"listenAddress": "::"}})
        command = container_of(objects, "Deployment", "web", "web")["command"]
        assert Gunicorn(command).cfg.settings["bind"].get() == ["[::]:8000"]
        service = next(one for one in objects.of("Service", "web") if one["metadata"]["name"].endswith("-web"))
        assert service["spec"]["ipFamilyPolicy"] == "PreferDualStack"

    def test_a_command_replaces_gunicorn(self) -> None:
        """web.command and web.args are the container's, as they are."""
        container = web({"web": {"command": ["uwsgi", "--http", ":8000"], "args": ["--master"]}})
        assert (container["command"], container["args"]) == (["uwsgi", "--http", ":8000"], ["--master"])

    def test_the_probe_understands_its_variables(self) -> None:
        """The probe reads what the chart sets, with nothing to complain about."""
        ullage = {
            "prePing": "off",
            "policy": "strict",
            "policyOverrides": ["queue:low=ignore"],
            "leakThresholdSeconds": 0.5,
            "skipFrames": ["db.py", "orm.py:session"],
            "forkSafety": False,
        }
        settings = probe_settings(environment(web({"ullage": ullage, "web": {"app": "shop:make()"}})), complain)
        assert (settings.role, settings.container, settings.app) == ("web", "web", "shop:make()")
        assert (settings.pre_ping, settings.policy, settings.fork_safety) == ("off", "strict", False)
        assert settings.policy_overrides == ("queue:low=ignore",)
        assert settings.skip_frames == ("db.py", "orm.py:session")
        assert settings.leak_threshold_seconds == 0.5

    def test_requests_of_the_kubelet_are_no_missing_hop(self) -> None:
        """The paths of the probes, without their queries, are those that the forwarded-hops count leaves out."""
        probes = {"livenessPath": "/alive?quick=1", "readinessPath": "/ready"}
        container = web({"web": {"probes": probes}, "tests": {"path": "/alive"}})
        assert probe_settings(environment(container), complain).probe_paths == ("/alive", "/ready")

    @pytest.mark.parametrize(
        ("version", "pause"),
        [("1.29.4", {"exec": {"command": ["sleep", "5"]}}), ("1.30.0", {"sleep": {"seconds": 5}})],
    )
    def test_it_pauses_before_sigterm(self, version: str, pause: dict[str, Any]) -> None:
        """Kubernetes 1.29 drops the action `sleep`, so there the image's program pauses."""
        # The engine renders for one version; a manifest of the user may call the template for another.
        context = f'(dict "Values" .Values "Capabilities" (dict "KubeVersion" (dict "Version" "v{version}")))'
        called = f'{{{{- include "ullage.web.lifecycle" {context} | nindent 0 }}}}'
        objects = render({"web": {"preStopSeconds": 5}, "extraManifests": [f"kind: Called\n{called}"]})
        assert objects.one("Called")["lifecycle"] == {"preStop": pause}

    def test_the_users_hooks_stay(self) -> None:
        """A preStop of the user replaces the pause, a postStart stands beside it, and 0 seconds have no pause."""
        hook = {"exec": {"command": ["/bin/true"]}}
        assert web({"web": {"lifecycle": {"preStop": hook}}})["lifecycle"] == {"preStop": hook}
        assert set(web({"web": {"lifecycle": {"postStart": hook}}})["lifecycle"]) == {"postStart", "preStop"}
        assert "lifecycle" not in web({"web": {"preStopSeconds": 0}})


class TestWorkers:
    def test_each_process_has_a_container(self) -> None:
        """Three processes are three containers, whose heartbeat files, segments and probes are their own."""
        for name in ("worker", "worker-2", "worker-3"):
            container = worker({"processes": 3}, name=name)
            file = options(container)["heartbeat_file"]
            assert file == f"/dev/shm/{name}"
            check = {"command": container["livenessProbe"]["exec"]["command"]}
            assert (options(check)["check_heartbeat"], options(check)["max_age"]) == (file, "120")
            assert probe_settings(environment(container), complain).container == name

    def test_ullage_worker_understands_its_command(self) -> None:
        """`ullage worker` takes the modules to preload, and RQ the scheduler, the arguments and the queues in order."""
        own = {"queues": ["high", "low"], "preload": ["shop.tasks", "shop.db:warm"], "args": ["--max-jobs", "9"]}
        found = options(worker(own))
        assert found["preload"] == ("shop.tasks", "shop.db:warm")
        assert found["queues"] == ("high", "low")
        assert (found["with_scheduler"], found["max_jobs"]) == (True, 9)

    def test_nothing_is_preloaded_where_nothing_is_named(self) -> None:
        """An empty preload is --no-preload, and not the default of `ullage worker`."""
        assert options(worker({"preload": []}))["no_preload"] is True

    def test_a_policy_of_its_own_wins(self) -> None:
        """The policy of a worker set overrides ullage.policy."""
        assert probe_settings(environment(worker({"policy": "strict"})), complain).policy == "strict"

    @pytest.mark.parametrize(
        ("command", "is_watched"),
        [(["rq", "worker"], False), (["ullage", "worker", "high"], True)],
        ids=["rq worker", "ullage worker"],
    )
    def test_only_a_worker_with_a_heartbeat_is_watched(self, command: list[str], is_watched: bool) -> None:
        """A command that writes no heartbeat file must not be restarted for the lack of one."""
        container = worker({"command": command, "args": ["low"]})
        assert (container["command"], container["args"]) == (command, ["low"])
        assert ("livenessProbe" in container) is is_watched
        assert worker_settings(environment(container)).heartbeat_file is not None

    def test_each_container_has_its_metric_for_the_autoscaler(self) -> None:
        """An autoscaler on CPU looks at the workers alone: a container without a request would stop it."""
        autoscaling = {"type": "cpu", "scaleDownStabilizationSeconds": 77}
        workers = [{"name": "default", "processes": 2, "autoscaling": autoscaling}]
        spec = render({"workers": workers}).one("HorizontalPodAutoscaler")["spec"]
        assert [one["containerResource"]["container"] for one in spec["metrics"]] == ["worker", "worker-2"]
        assert spec["behavior"] == {"scaleDown": {"stabilizationWindowSeconds": 77}}


class TestEnvironment:
    def test_references_still_resolve_when_a_part_is_replaced(self) -> None:
        """A variable that the user replaces, by one that refers to another of the user's, comes before what uses it."""
        extra = [
            {"name": "AFTER", "value": "$(DATABASE_URL)"},
            {"name": "VAULT_PASSWORD", "value": "from-vault"},
            {"name": "DATABASE_PASSWORD", "value": "$(VAULT_PASSWORD)"},
        ]
        container = web({"database": {"existingSecret": {"name": "shop-db"}}, "web": {"extraEnv": extra}})
        found = resolve(container, {"shop-db": {"password": "unused"}})
        assert "from-vault@db" in found["DATABASE_URL"]
        assert found["AFTER"] == found["DATABASE_URL"]

    def test_of_two_the_last_counts(self) -> None:
        """A variable that the user gives twice is there once, with the last value."""
        twice = [{"name": "TZ", "value": "UTC"}, {"name": "TZ", "value": "CET"}]
        names = [variable for variable in web({"web": {"extraEnv": twice}})["env"] if variable["name"] == "TZ"]
        assert names == [{"name": "TZ", "value": "CET"}]

    def test_a_volume_of_the_user_replaces_the_charts(self) -> None:
        """A volume named tmp is the user's, and there is one of that name."""
        volumes = [{"name": "tmp", "emptyDir": {"sizeLimit": "1Gi"}}]
        found = render({"web": {"extraVolumes": volumes}}).one("Deployment", "web")["spec"]["template"]["spec"][
            "volumes"
        ]
        assert [volume for volume in found if volume["name"] == "tmp"] == volumes


class TestSpread:
    def constraints(self, *values: dict[str, Any]) -> list[dict[str, Any]]:
        deployment = render(*values).one("Deployment", "web")
        return deployment["spec"]["template"]["spec"]["topologySpreadConstraints"]

    def test_pods_spread_over_nodes_and_zones(self) -> None:
        """By default the pods of one revision spread, as far as that is possible."""
        found = self.constraints()
        assert [one["topologyKey"] for one in found] == ["kubernetes.io/hostname", "topology.kubernetes.io/zone"]
        assert {one["whenUnsatisfiable"] for one in found} == {"ScheduleAnyway"}
        assert all(one["matchLabelKeys"] == ["pod-template-hash"] for one in found)

    def test_a_constraint_of_the_user_gets_the_pods_selector_if_it_has_none(self) -> None:
        """A constraint without a selector would count no pod; one with a selector is left alone."""
        own = {"maxSkew": 1, "topologyKey": "rack", "whenUnsatisfiable": "DoNotSchedule"}
        selector = {"matchExpressions": [{"key": "app", "operator": "Exists"}]}
        without, with_one = self.constraints(
            {"web": {"topologySpreadConstraints": [own, {**own, "labelSelector": selector}]}}
        )
        assert without["labelSelector"]["matchLabels"]["app.kubernetes.io/component"] == "web"
        assert with_one["labelSelector"] == selector


class TestInitContainers:
    def names(self, *values: dict[str, Any]) -> list[str]:
        spec = render(*values).one("Deployment", "web")["spec"]["template"]["spec"]
        return [container["name"] for container in spec.get("initContainers", ())]

    def test_they_come_in_the_order_of_their_needs(self) -> None:
        """The sidecar ends last, and the wait for the schema may need the user's proxy of the database."""
        proxy = {"name": "proxy", "image": "proxy:1", "restartPolicy": "Always"}
        found = self.names({"web": {"extraInitContainers": [proxy], "inject": INJECTED}})
        assert found == ["ullage", "ullage-inject", "proxy", "wait-for-schema"]

    def test_the_sidecar_can_be_left_out(self) -> None:
        """Without exporter.enabled there is no sidecar, and policies and pre-ping still work."""
        values = {"exporter": {"enabled": False}, "observer": {"events": {"enabled": False}}}
        assert self.names(values) == ["wait-for-schema"]
        assert probe_settings(environment(web(values)), complain).enabled

    def test_ullage_can_be_switched_off(self) -> None:
        """With ullage.enabled false nothing but the switch itself is left in the application's pods."""
        values = {"ullage": {"enabled": False}, "observer": {"events": {"enabled": False}}}
        assert self.names(values) == ["wait-for-schema"]
        container = web(values)
        assert not probe_settings(environment(container), complain).enabled
        assert [mount["mountPath"] for mount in container["volumeMounts"]] == ["/tmp"]

    def test_the_sidecar_understands_its_variables(self) -> None:
        """`ullage serve` reads what the chart sets."""
        exporter = {"port": 9200, "logLevel": "debug", "listenAddress": "::", "webConfigSecret": "tls"}
        sidecar = container_of(render({"exporter": exporter}), "Deployment", "web", "ullage")
        settings = serve_settings(environment(sidecar))
        assert (settings.port, settings.log_level, settings.listen_address) == (9200, "debug", "::")
        mount = next(mount for mount in sidecar["volumeMounts"] if mount["name"] == "ullage-web-config")
        assert str(settings.web_config_file) == f"{mount['mountPath']}/web-config.yaml"


class TestInjection:
    def test_the_launcher_precedes_the_command(self) -> None:
        """The image's own PYTHONPATH survives, because the launcher adds to it at run time."""
        container = web({"web": {"inject": INJECTED, "command": ["gunicorn", "shop:app"]}})
        assert container["command"] == ["/opt/ullage/ullage-run", "gunicorn", "shop:app"]
        assert "PYTHONPATH" not in environment(container)

    def test_the_copy_is_made_where_the_image_has_nothing_of_its_own(self) -> None:
        """ullage's image lives in /opt/ullage, which a volume there would hide from the command that copies."""
        copying = container_of(render({"web": {"inject": INJECTED}}), "Deployment", "web", "ullage-inject")
        assert copying["volumeMounts"] == [{"name": "ullage-inject", "mountPath": copying["command"][-1]}]
        assert copying["command"][-1] != "/opt/ullage"

    def test_gunicorn_of_another_image_is_given_no_new_option(self) -> None:
        """An image of one's own may have a Gunicorn from before the control socket."""
        assert "--no-control-socket" not in web({"web": {"inject": INJECTED}})["command"]

    def test_the_kill_switch_leaves_the_image_alone(self) -> None:
        """With ullage.enabled false nothing is injected, and Gunicorn serves the application itself."""
        values = {
            "ullage": {"enabled": False},
            "observer": {"events": {"enabled": False}},
            "web": {"inject": INJECTED, "app": "shop:app"},
        }
        container = web(values)
        assert (container["command"][0], container["command"][-1]) == ("gunicorn", "shop:app")
        assert "ullage" not in json.dumps(container["volumeMounts"])


class TestObserver:
    def observer(self, *values: dict[str, Any]) -> Manifest:
        return container_of(render(*values), "Deployment", "observer", "observer")

    def test_it_understands_its_variables(self) -> None:
        """`ullage observe` reads what the chart sets: Redis, queues, the budget and the pods."""
        values = {
            "observer": {"queues": ["high", "low"]},
            "database": {"maxConnections": 500},
            "exporter": {"port": 9200},
        }
        settings = observe_settings(environment(self.observer(values)))
        assert settings.redis_url == "redis://redis:6379/0"
        assert settings.queues == ("high", "low")
        assert (settings.port, settings.metrics_port, settings.connection_limit) == (9200, 9200, 500)
        assert dict(settings.connection_budget) == {"web": 60, "worker-default": 6, "migration": 1}
        assert settings.pod_namespace == helm.NAMESPACE
        assert settings.pod_selector is not None
        assert "component in (web,worker)" in settings.pod_selector

    def test_an_unknown_limit_is_not_set(self) -> None:
        """A limit of 0 is unknown, and has no series."""
        assert observe_settings(environment(self.observer())).connection_limit is None

    @pytest.mark.parametrize(
        "values",
        [{"observer": {"events": {"enabled": False}}}, {"exporter": {"webConfigSecret": "tls"}}],
        ids=["off", "TLS"],
    )
    def test_without_events_it_knows_no_kubernetes(self, values: dict[str, Any]) -> None:
        """Where it writes no Events it has no selector, no token and no Role: it cannot log in to sidecars with TLS."""
        objects = render(values)
        assert observe_settings(environment(self.observer(values))).pod_selector is None
        spec = objects.one("Deployment", "observer")["spec"]["template"]["spec"]
        assert spec["automountServiceAccountToken"] is False
        assert objects.of("Role") == objects.of("RoleBinding") == []

    def test_an_existing_service_account_is_bound(self) -> None:
        """Without serviceAccount.create the Role is the existing account's, and the observer runs as that."""
        objects = render({"serviceAccount": {"create": False, "name": "ours"}})
        assert objects.of("ServiceAccount") == []
        assert [one["name"] for one in objects.one("RoleBinding")["subjects"]] == ["ours"]
        assert objects.one("Deployment", "observer")["spec"]["template"]["spec"]["serviceAccountName"] == "ours"


class TestExtraManifests:
    def test_text_is_a_template_and_a_map_is_not(self) -> None:
        """A string may use the release and the chart's helpers; a map stays as it is."""
        values = [
            {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {"name": "map"},
                "data": {"a": "{{ .Release.Name }}"},
            },
            'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: {{ include "ullage.fullname" . }}-text}',
        ]
        found = {one["metadata"]["name"]: one for one in render({"extraManifests": values}).of("ConfigMap")}
        assert found["map"]["data"] == {"a": "{{ .Release.Name }}"}
        assert f"{helm.RELEASE}-ullage-text" in found
