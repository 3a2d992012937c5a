"""Helm, as the chart's tests use it: its engine from PyPI, or a `helm` program; both render alike."""

from __future__ import annotations

import functools
import io
import json
import re
import subprocess
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import helm_python
import yaml

CHART = Path(__file__).parents[2] / "chart"
RELEASE = "shop"
NAMESPACE = "team"
# What helm_python takes the cluster for; programs that are built without a version take it for 1.20.
ENGINE_KUBERNETES = "1.36.0"
SCHEMA_NAME = "values.schema.json"
TEMPLATES = "templates/"

Manifest = dict[str, Any]
Values = Mapping[str, Any]


class RefusedError(Exception):
    """Helm refused the values: by the schema, or by a check of the templates; the message is Helm's."""


class Objects(list[Manifest]):
    """The objects of a render, in Helm's order of files."""

    def of(self, kind: str, component: str = "") -> list[Manifest]:
        """Return the objects of a kind, or those of a component."""
        found = [manifest for manifest in self if manifest["kind"] == kind]
        return [manifest for manifest in found if not component or component_of(manifest) == component]

    def one(self, kind: str, component: str = "") -> Manifest:
        """Return the only object of a kind."""
        found = self.of(kind, component)
        assert len(found) == 1, f"{len(found)} of {kind} {component}: {[name(manifest) for manifest in found]}"
        return found[0]

    def pods(self) -> Iterator[tuple[str, Manifest]]:
        """Yield the name of its owner and the pod template, of everything that makes pods."""
        for manifest in self:
            template = manifest if manifest["kind"] == "Pod" else manifest.get("spec", {}).get("template")
            if template and "spec" in template and manifest["kind"] in WORKLOADS:
                yield name(manifest), template


WORKLOADS = ("Pod", "Deployment", "StatefulSet", "DaemonSet", "Job", "CronJob")


def name(manifest: Manifest) -> str:
    """Return kind and name, as kubectl prints them."""
    return f"{manifest['kind']}/{manifest['metadata']['name']}"


def component_of(manifest: Manifest) -> str:
    """Return the component that an object belongs to."""
    return manifest["metadata"].get("labels", {}).get("app.kubernetes.io/component", "")


def containers(pod: Manifest) -> list[Manifest]:
    """Return every container of a pod, init containers first."""
    return [*pod["spec"].get("initContainers", []), *pod["spec"]["containers"]]


@functools.cache
def _load(chart: Path, part: str, *, with_schema: bool) -> helm_python.Chart:
    if with_schema and not part:
        return helm_python.Chart.load(chart)

    def keep(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
        path = member.name.removeprefix("chart/")
        is_other = (
            path.startswith(TEMPLATES) and path.endswith((".yaml", ".txt")) and not path.startswith(TEMPLATES + part)
        )
        return None if is_other or (path == SCHEMA_NAME and not with_schema) else member

    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz", compresslevel=1) as tar:
        tar.add(chart, "chart", filter=keep)
    return helm_python.Chart.load_archive(archive.getvalue())


@functools.cache
def _render(
    chart: Path, part: str, values: str, options: tuple[tuple[str, Any], ...], *, with_schema: bool
) -> dict[str, str]:
    return _load(chart, part, with_schema=with_schema).render(json.loads(values), **dict(options))


def render_files(
    values: Values | None = None,
    *,
    chart: Path = CHART,
    release: str = RELEASE,
    namespace: str = NAMESPACE,
    upgrade: bool = False,
    revision: int = 1,
    part: str = "",
    with_schema: bool = False,
) -> dict[str, str]:
    """Return the text of each template, NOTES.txt too, or of those whose path begins with the part.

    The schema takes three times as long as the templates; the tests of what Helm refuses ask for it.
    """
    options = {
        "name": release,
        "namespace": namespace,
        "revision": revision,
        "is_install": not upgrade,
        "is_upgrade": upgrade,
    }
    try:
        return _render(chart, part, json.dumps(values or {}), tuple(options.items()), with_schema=with_schema)
    except helm_python.HelmError as error:
        raise RefusedError(str(error)) from None


def refusal(values: Values, **options: Any) -> str:
    """Return what Helm says against the values, or nothing."""
    try:
        render_files(values, with_schema=True, **options)
    except RefusedError as error:
        return str(error)
    return ""


def render(values: Values | None = None, **options: Any) -> Objects:
    """Return the objects that the values give; tests share them, so leave them as they are."""
    return _objects(json.dumps(values or {}), tuple(options.items()))


@functools.cache
def _objects(values: str, options: tuple[tuple[str, Any], ...]) -> Objects:
    return parse(render_files(json.loads(values), **dict(options)))


def notes(values: Values | None = None, **options: Any) -> str:
    """Return NOTES.txt as the values give it."""
    [text] = [text for path, text in render_files(values, **options).items() if path.endswith("NOTES.txt")]
    return text


def parse(files: Mapping[str, str]) -> Objects:
    """Return the objects of rendered templates; NOTES.txt is none."""
    manifests = Objects()
    for path, text in sorted(files.items()):
        if path.endswith((".yaml", ".yml")):
            manifests += [manifest for manifest in yaml.load_all(text, Loader=StrictLoader) if manifest]
    return manifests


def template(program: str, values: Values | None = None, *, release: str = RELEASE, chart: Path = CHART) -> Objects:
    """Return the objects as a `helm` program renders them."""
    version = ["--kube-version", ENGINE_KUBERNETES]
    command = [program, "template", release, str(chart), "--namespace", NAMESPACE, "--values", "-", *version]
    done = subprocess.run(command, input=json.dumps(values or {}), capture_output=True, text=True, check=False)
    if done.returncode:
        raise RefusedError(done.stderr)
    return Objects(manifest for manifest in yaml.load_all(done.stdout, Loader=StrictLoader) if manifest)


def lint(values: Values, chart: Path = CHART) -> list[str]:
    """Return what `helm lint --strict` says beyond information; the schema is not asked, which is slow."""
    report = helm_python.lint(chart, dict(values), strict=True, namespace=NAMESPACE, skip_schema_validation=True)
    return [f"{message['path']}: {message['error']}" for message in report["messages"] if message["severity"] > 1]


class StrictLoader(yaml.CSafeLoader if hasattr(yaml, "CSafeLoader") else yaml.SafeLoader):  # type: ignore[misc]
    """A YAML loader that refuses a key given twice, which Kubernetes would read as the last."""


def _unique_keys(loader: yaml.Loader, node: yaml.MappingNode) -> dict[str, Any]:
    keys = [key.value for key, _ in node.value]
    twice = sorted({key for key in keys if keys.count(key) > 1})
    if twice:
        raise ValueError(f"keys given twice at line {node.start_mark.line + 1}: {', '.join(twice)}")
    return loader.construct_mapping(node, deep=True)


StrictLoader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _unique_keys)


def case(path: Path) -> dict[str, Any]:
    """Return the values of a file in chart/ci."""
    return yaml.safe_load(path.read_text()) or {}


def cases() -> list[Path]:
    """Return the files of chart/ci."""
    return sorted((CHART / "ci").glob("*-values.yaml"))


def promise(path: Path) -> str:
    """Return what a file of chart/ci promises: its first line."""
    return re.sub(r"^# *", "", path.read_text().split("\n", 1)[0])
