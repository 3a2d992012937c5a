"""The library chart in somebody else's chart: tests/chart/foreign takes sidecar, injection and monitor from it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest

from tests.chart import helm
from tests.chart.helm import Manifest, Objects

FOREIGN = Path(__file__).parent / "foreign"
LIBRARY = helm.CHART / "charts" / "ullage-library"


@pytest.fixture(scope="module")
def chart(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the foreign chart with the library below it, as `helm dependency update` would put it there."""
    directory = tmp_path_factory.mktemp("charts") / "foreign"
    shutil.copytree(FOREIGN, directory)
    shutil.copytree(LIBRARY, directory / "charts" / LIBRARY.name)
    return directory


@pytest.fixture(scope="module")
def objects(chart: Path) -> Objects:
    """Give what its own values render to."""
    return helm.render(chart=chart)


def pod(objects: Objects, name: str) -> Manifest:
    """Return the pod template of a Deployment."""
    return next(template for owner, template in objects.pods() if owner == f"Deployment/shop-{name}")


def application(template: Manifest) -> Manifest:
    """Return the only container that is not an init container."""
    (container,) = template["spec"]["containers"]
    return container


def env(container: Manifest) -> dict[str, Any]:
    """Return a container's variables."""
    return {variable["name"]: variable.get("value") for variable in container.get("env", ())}


@pytest.fixture(params=["web", "worker"])
def template(objects: Objects, request: pytest.FixtureRequest) -> Manifest:
    """Give each pod template."""
    return pod(objects, request.param)


class TestInjectedApplication:
    def test_sidecar_is_native_and_comes_first(self, template: Manifest) -> None:
        """The sidecar is the first init container, stays, and is known to be up before the next one starts."""
        first = template["spec"]["initContainers"][0]
        assert (first["name"], first["restartPolicy"], first["command"]) == ("ullage", "Always", ["ullage", "serve"])
        assert first["startupProbe"]["httpGet"] == {"path": "/healthz", "port": "metrics"}
        assert "readinessProbe" not in first

    def test_application_and_sidecar_share_the_segments(self, template: Manifest) -> None:
        """Both mount the memory-backed volume where the application's ULLAGE_DIR says, the sidecar read-only."""
        volumes = {volume["name"]: volume for volume in template["spec"]["volumes"]}
        assert volumes["ullage"]["emptyDir"]["medium"] == "Memory"
        mounts = [
            next(mount for mount in container["volumeMounts"] if mount["name"] == "ullage")
            for container in (application(template), template["spec"]["initContainers"][0])
        ]
        assert {mount["mountPath"] for mount in mounts} == {env(application(template))["ULLAGE_DIR"]}
        assert [mount.get("readOnly", False) for mount in mounts] == [False, True]

    def test_every_mount_has_its_volume(self, template: Manifest) -> None:
        """Each container mounts volumes that the pod has, and each volume is mounted."""
        volumes = {volume["name"] for volume in template["spec"]["volumes"]}
        mounts = {mount["name"] for one in helm.containers(template) for mount in one.get("volumeMounts", ())}
        assert mounts == volumes

    def test_known_command_goes_behind_the_launcher(self, objects: Objects) -> None:
        """Where the chart knows the command, the launcher precedes it and PYTHONPATH stays the image's."""
        worker = application(pod(objects, "worker"))
        assert worker["command"][:3] == ["/opt/ullage/ullage-run", "rq", "worker"]
        assert "PYTHONPATH" not in env(worker)

    def test_entry_point_is_reached_by_pythonpath(self, objects: Objects) -> None:
        """Where the image's entry point starts the application, PYTHONPATH leads to the package and then to its own."""
        web = application(pod(objects, "web"))
        assert "command" not in web
        assert env(web)["PYTHONPATH"] == "/opt/ullage/site:/srv/bookshop"

    def test_pod_security_restricted_holds_by_the_containers_alone(self, template: Manifest) -> None:
        """What the library adds satisfies `restricted` whatever the pod says."""
        for container in template["spec"]["initContainers"]:
            context = container["securityContext"]
            assert context["runAsNonRoot"] is True
            assert context["allowPrivilegeEscalation"] is False
            assert context["capabilities"] == {"drop": ["ALL"]}
            assert context["seccompProfile"] == {"type": "RuntimeDefault"}

    def test_monitor_selects_the_pods(self, objects: Objects) -> None:
        """The PodMonitor's expression holds for the labels of both pods, and its port is the sidecar's."""
        spec = objects.one("PodMonitor")["spec"]
        (expression,) = spec["selector"]["matchExpressions"]
        for name in ("web", "worker"):
            template = pod(objects, name)
            assert template["metadata"]["labels"][expression["key"]] in expression["values"]
            ports = template["spec"]["initContainers"][0]["ports"]
            assert spec["podMetricsEndpoints"][0]["port"] in [port["name"] for port in ports]


def test_off_leaves_no_trace(chart: Path) -> None:
    """With the chart's switch off, not a word of ullage is in what it renders."""
    files = helm.render_files({"metrics": {"enabled": False}}, chart=chart)
    assert [path for path, text in files.items() if "ullage" in text.lower().replace(path, "")] == []


def test_tls_mounts_the_secret_and_probes_by_tcp(chart: Path) -> None:
    """A web configuration is mounted where the sidecar is told to find it, and no probe asks without a password."""
    template = pod(helm.render({"metrics": {"webConfigSecret": "bookshop-tls"}}, chart=chart), "worker")
    sidecar = template["spec"]["initContainers"][0]
    mount = next(mount for mount in sidecar["volumeMounts"] if mount["name"] == "ullage-web-config")
    assert env(sidecar)["ULLAGE_WEB_CONFIG_FILE"] == f"{mount['mountPath']}/web-config.yaml"
    assert {"secret": {"secretName": "bookshop-tls"}, "name": "ullage-web-config"} in template["spec"]["volumes"]
    assert sidecar["livenessProbe"]["tcpSocket"] == sidecar["startupProbe"]["tcpSocket"] == {"port": "metrics"}


@pytest.mark.parametrize("version", ["1.29", "1.37"])
def test_kubernetes_knows_every_field(objects: Objects, version: str) -> None:
    """The oldest Kubernetes of the chart and the newest known accept the workloads, with no unknown field."""
    for manifest in objects.of("Deployment"):
        kubernetes_validate.validate(manifest, version, strict=True)


class TestArguments:
    """What the templates take, on a chart that holds nothing but one call."""

    @staticmethod
    def call(directory: Path, text: str) -> str:
        (directory / "templates").mkdir()
        shutil.copytree(LIBRARY, directory / "charts" / LIBRARY.name)
        chart_file = {"apiVersion": "v2", "name": "call", "version": "1.0.0"}
        (directory / "Chart.yaml").write_text(json.dumps(chart_file))
        (directory / "templates" / "call.yaml").write_text(text)
        return next(iter(helm.render_files(chart=directory).values()))

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ('{{ include "ullage-library.sidecar" dict }}', "ullage-library.sidecar needs image"),
            ('{{ include "ullage-library.probe.env" (dict "role" "web") }}', "needs container, its name"),
            ('{{ include "ullage-library.podMonitor.spec" dict }}', "needs matchLabels or matchExpressions"),
            (
                '{{ $path := dict "name" "PYTHONPATH" "valueFrom" (dict "fieldRef" 1) }}'
                '{{ include "ullage-library.inject.env" (dict "env" (list $path)) }}',
                "PYTHONPATH comes from elsewhere",
            ),
        ],
        ids=["sidecar", "probe", "monitor", "pythonpath"],
    )
    def test_missing_one_fails_with_its_name(self, tmp_path: Path, text: str, message: str) -> None:
        """A template that lacks an argument says which."""
        with pytest.raises(helm.RefusedError, match=message):
            self.call(tmp_path, text)

    def test_false_and_lists_reach_the_probe(self, tmp_path: Path) -> None:
        """A setting that is false is passed on, and a list becomes what the variable takes."""
        settings = '(dict "forkSafety" false "skipFrames" (list "db.py" "orm.py:session") "leakThresholdSeconds" 0.5)'
        arguments = f'(dict "role" "web" "container" "web" "settings" {settings})'
        found = json.loads(self.call(tmp_path, f'{{{{ include "ullage-library.probe.env" {arguments} }}}}'))
        variables = env({"env": found})
        assert variables["ULLAGE_FORK_SAFETY"] == "false"
        assert variables["ULLAGE_SKIP_FRAMES"] == "db.py,orm.py:session"
        assert variables["ULLAGE_LEAK_THRESHOLD_SECONDS"] == "0.5"

    def test_extra_variables_replace(self, tmp_path: Path) -> None:
        """A variable that is given again takes the place of the sidecar's own: server-side apply refuses duplicates."""
        extra = '(list (dict "name" "ULLAGE_LOG_LEVEL" "value" "debug") (dict "name" "TZ" "value" "UTC"))'
        text = f'{{{{ include "ullage-library.sidecar.env" (dict "extraEnv" {extra}) }}}}'
        found = json.loads(self.call(tmp_path, text))
        assert len(env({"env": found})) == len(found)
        assert (env({"env": found})["ULLAGE_LOG_LEVEL"], env({"env": found})["TZ"]) == ("debug", "UTC")


def test_no_template_reads_the_values_of_its_parent() -> None:
    """Whatever the library needs is an argument: another chart's values have other names."""
    read = [path.name for path in LIBRARY.rglob("*.tpl") if ".Values" in path.read_text()]
    assert read == []


def test_lint_finds_nothing(chart: Path) -> None:
    """`helm lint --strict` has nothing to say about the foreign chart."""
    assert helm.lint({}, chart) == []
