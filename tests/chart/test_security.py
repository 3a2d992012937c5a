"""Pod Security `restricted`, and the rules of kube-linter and checkov, each as a sentence.

What the values bring, such as an extra container, is the user's; the cases give it the chart's own manners.
"""

from __future__ import annotations

import base64
import re

import pytest

from tests.chart import helm
from tests.chart.helm import component_of, containers, name

# Components that end by themselves, or are started by hand: no probe could say more than their end does.
SHORT = ("migration", "test")
# Tried out and thrown away; a database that is slow to start is better left alone than restarted.
EVALUATION = ("mariadb", "valkey")
# Containers that the cases bring.
OF_CASES = ("helper", "proxy")
SECRET_NAMES = re.compile(r"password|passwd|secret|token|(^|_)key$", re.IGNORECASE)
VOLUMES = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"}
# A key that names a place is no secret.
NOT_SECRET = {"WAIT_SECONDS"}


def each_container(objects):
    """Yield owner, pod and container of everything that runs."""
    for owner, pod in objects.pods():
        yield from [(f"{owner}/{container['name']}", pod, container) for container in containers(pod)]


def decode(secret):
    """Return all that a Secret holds, as text."""
    encoded = [base64.b64decode(value).decode() for value in secret.get("data", {}).values()]
    return " ".join([*encoded, *secret.get("stringData", {}).values()])


def component(pod):
    """Return the component of a pod."""
    return pod["metadata"]["labels"].get("app.kubernetes.io/component", "")


def is_sidecar(container, pod):
    """Say whether an init container runs beside the application."""
    return container in pod["spec"].get("initContainers", []) and container.get("restartPolicy") == "Always"


class TestRestricted:
    """What a namespace with pod-security.kubernetes.io/enforce: restricted asks for."""

    def test_pods_run_as_somebody(self, objects):
        """runAsNonRoot, and a numeric user that is not 0, in the pod or the container."""
        for owner, pod, container in each_container(objects):
            context = {**pod["spec"]["securityContext"], **container["securityContext"]}
            assert context["runAsNonRoot"] is True, owner
            assert context["runAsUser"] > 0, owner

    def test_pods_have_a_seccomp_profile(self, objects):
        """The runtime's default profile, in the pod or the container."""
        for owner, pod, container in each_container(objects):
            context = {**pod["spec"]["securityContext"], **container["securityContext"]}
            assert context["seccompProfile"]["type"] in {"RuntimeDefault", "Localhost"}, owner

    def test_containers_cannot_gain_privileges(self, objects):
        """No escalation, not privileged, all capabilities dropped; NET_BIND_SERVICE may come back."""
        for owner, _, container in each_container(objects):
            context = container["securityContext"]
            assert context["allowPrivilegeEscalation"] is False, owner
            assert not context.get("privileged"), owner
            assert context["capabilities"]["drop"] == ["ALL"], owner
            assert set(context["capabilities"].get("add", [])) <= {"NET_BIND_SERVICE"}, owner

    def test_pods_stay_out_of_the_node(self, objects):
        """No host network, process ids, IPC, ports or paths; only volumes that belong to the pod."""
        for owner, pod in objects.pods():
            assert pod["spec"].keys().isdisjoint({"hostNetwork", "hostPID", "hostIPC"}), owner
            ports = [port for container in containers(pod) for port in container.get("ports", [])]
            assert [port for port in ports if "hostPort" in port] == [], owner
            for volume in pod["spec"].get("volumes", []):
                assert volume.keys() - {"name"} <= VOLUMES, owner


class TestContainers:
    def test_the_root_is_read_only(self, objects):
        """No container can change its image's files."""
        for owner, _, container in each_container(objects):
            assert container["securityContext"]["readOnlyRootFilesystem"] is True, owner

    def test_resources_are_set(self, objects):
        """Requests for CPU and memory, and a limit for memory; a CPU limit would only slow things down."""
        for owner, _, container in each_container(objects):
            resources = container["resources"]
            if not owner.startswith("Deployment/shop-ullage-worker-reports"):
                assert resources["requests"].keys() >= {"cpu", "memory"}, owner
            assert "memory" in resources["limits"], owner
            assert "cpu" not in resources["limits"], owner

    def test_images_are_pinned(self, objects):
        """Every image has a registry, a path and a tag that is not `latest`, or a digest."""
        for owner, _, container in each_container(objects):
            image = container["image"]
            assert re.fullmatch(r"[^/]+\.[^/]+/.+(:[^:/@]+|@sha256:[0-9a-f]{64})", image), f"{owner}: {image}"
            assert not image.endswith(":latest"), owner

    def test_images_have_a_pull_policy(self, objects):
        """imagePullPolicy is written down, since its default depends on the tag."""
        for owner, _, container in each_container(objects):
            assert container["imagePullPolicy"] in {"Always", "IfNotPresent", "Never"}, owner

    def test_ports_are_named(self, objects):
        """Services and monitors find a port by its name."""
        for owner, _, container in each_container(objects):
            for port in container.get("ports", []):
                assert port["name"], owner

    def test_what_runs_on_is_watched(self, objects, case):
        """Application, sidecar and observer have a liveness probe; web and the evaluation servers a readiness probe."""
        is_liveness_off = any(
            section.get("liveness", {}).get("enabled") is False
            for section in (case.get("workerDefaults", {}), *case.get("workers", []))
        )
        for owner, pod, container in each_container(objects):
            runs_on = container in pod["spec"]["containers"] or is_sidecar(container, pod)
            if component(pod) in SHORT or container["name"] in OF_CASES or not runs_on:
                continue
            if component(pod) not in EVALUATION and not (container["name"] == "worker" and is_liveness_off):
                assert "livenessProbe" in container, owner
            if component(pod) in EVALUATION or container["name"] == "web":
                assert "readinessProbe" in container, owner

    def test_commands_need_no_shell(self, objects):
        """Commands are in exec form: a shell in between would keep SIGTERM from the application."""
        for owner, pod, container in each_container(objects):
            if component(pod) not in EVALUATION:
                assert container.get("command", ["x"])[0] not in {"sh", "bash", "/bin/sh", "/bin/bash"}, owner


class TestSecrets:
    def test_no_variable_has_one(self, objects):
        """What a variable's name calls a secret comes from a Secret, never from a value."""
        for owner, _, container in each_container(objects):
            for variable in container.get("env", []):
                if SECRET_NAMES.search(variable["name"]) and variable["name"] not in NOT_SECRET:
                    assert "secretKeyRef" in variable.get("valueFrom", {}), f"{owner}: {variable['name']}"

    def test_a_password_of_the_values_is_in_secrets_alone(self):
        """database.password and redis.password end in Secrets, and in no pod, argument, ConfigMap or note."""
        values = {
            "database": {"host": "db", "password": "pa55-of-database"},
            "redis": {"host": "redis", "password": "pa55-of-redis"},
        }
        objects = helm.render({**values, "monitoring": {"podMonitor": {"enabled": True}}})
        secrets = {each["metadata"]["name"]: decode(each) for each in objects.of("Secret")}
        assert "pa55-of-database" in secrets["shop-ullage-database"]
        assert "pa55-of-redis" in secrets["shop-ullage-redis"]
        others = [each for each in objects if each["kind"] != "Secret"]
        assert "pa55-of" not in str(others) + helm.notes(values)

    def test_urls_in_arguments_have_no_password(self, objects):
        """No command has a URL with a user in it."""
        for owner, _, container in each_container(objects):
            words = " ".join([*container.get("command", []), *container.get("args", [])])
            assert not re.search(r"://[^/ ]*@", words), owner


class TestAccess:
    def test_no_pod_has_a_token_but_the_observer(self, objects):
        """A ServiceAccount's token is mounted in the observer alone, and there only if it writes Events."""
        with_token = {
            component(pod) for _, pod in objects.pods() if pod["spec"].get("automountServiceAccountToken") is not False
        }
        assert with_token <= {"observer"}
        for account in objects.of("ServiceAccount"):
            assert account["automountServiceAccountToken"] is False, name(account)

    def test_without_events_there_is_no_access_at_all(self, objects):
        """A token is mounted only where a Role makes use of it."""
        for _, pod in objects.pods():
            if pod["spec"].get("automountServiceAccountToken"):
                assert any(each["name"] == "ULLAGE_POD_SELECTOR" for each in pod["spec"]["containers"][0]["env"])

    def test_the_role_is_the_least(self, objects):
        """The only Role: get and list pods, create and patch events, in this namespace."""
        assert objects.of("ClusterRole") + objects.of("ClusterRoleBinding") == []
        for role in objects.of("Role"):
            granted = {(rule["resources"][0], verb) for rule in role["rules"] for verb in rule["verbs"]}
            assert granted == {("pods", "get"), ("pods", "list"), ("events", "create"), ("events", "patch")}
            assert all(rule["apiGroups"] in ([""], ["", "events.k8s.io"]) for rule in role["rules"])

    def test_services_in_the_environment_are_off(self, objects):
        """enableServiceLinks is off: a Service called REDIS would set REDIS_PORT in every pod."""
        for owner, pod in objects.pods():
            assert pod["spec"]["enableServiceLinks"] is False, owner


class TestAvailability:
    def test_replicas_are_spread(self, objects):
        """Pods of web and workers prefer different nodes."""
        for each in objects.of("Deployment"):
            if component_of(each) in {"web", "worker"}:
                assert each["spec"]["template"]["spec"]["topologySpreadConstraints"], name(each)

    def test_evictions_are_limited(self, case, objects):
        """Each web and worker Deployment has a PodDisruptionBudget that lets a node be drained."""
        budgets = [each["spec"]["selector"]["matchLabels"] for each in objects.of("PodDisruptionBudget")]
        if case.get("workerDefaults", {}).get("podDisruptionBudget", {}).get("enabled", True):
            for each in objects.of("Deployment"):
                if component_of(each) in {"web", "worker"}:
                    assert each["spec"]["selector"]["matchLabels"] in budgets, name(each)
        for each in objects.of("PodDisruptionBudget"):
            assert "minAvailable" not in each["spec"], name(each)

    def test_updates_never_serve_with_less(self):
        """By default a new pod is ready before an old one ends."""
        objects = helm.render({"evaluation": {"enabled": True}})
        for part in ("web", "worker"):
            strategy = objects.one("Deployment", part)["spec"]["strategy"]["rollingUpdate"]
            assert strategy == {"maxSurge": 1, "maxUnavailable": 0}

    def test_requests_and_jobs_may_end(self, objects):
        """The grace period has room for the preStop pause and what runs."""
        for each in objects.of("Deployment"):
            spec = each["spec"]["template"]["spec"]
            pauses = [
                container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
                for container in spec["containers"]
            ]
            assert spec.get("terminationGracePeriodSeconds", 30) > max(pauses), name(each)


@pytest.mark.parametrize("kind", ["Deployment", "Service", "Job", "Pod", "Secret", "ServiceAccount"])
def test_objects_are_labelled(objects, kind):
    """Each object has the recommended labels, so that `kubectl get -l` finds the whole release."""
    for each in objects.of(kind):
        labels = each["metadata"]["labels"]
        wanted = {"name", "instance", "component", "managed-by", "version"}
        assert {f"app.kubernetes.io/{label}" for label in wanted} | {"helm.sh/chart"} <= labels.keys(), name(each)
        assert each["metadata"]["namespace"] == helm.NAMESPACE, name(each)
