"""The `helm` programs of this machine render what the engine in the tests renders."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from tests.chart import helm
from tests.chart.golden import shorten

PROGRAMS = [found for each in ("helm", "helm3") if (found := shutil.which(each))]
# One of each kind of object; every file of chart/ci would be half a minute.
CASES = ("evaluation", "everything", "keda", "ingress-nginx", "inject")

pytestmark = pytest.mark.skipif(
    not PROGRAMS, reason="no helm on PATH; install it from https://helm.sh/docs/intro/install"
)


def by_name(objects):
    """Return the objects by kind and name, without what each render makes anew."""
    return {helm.name(each): shorten(each) for each in objects}


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: Path(program).name)
@pytest.mark.parametrize("case", CASES)
def test_they_render_alike(program, case):
    """`helm template` gives the same objects, with Helm 3 and with Helm 4."""
    values = helm.case(helm.CHART / "ci" / f"{case}-values.yaml")
    assert by_name(helm.template(program, values)) == by_name(helm.render(values))


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: Path(program).name)
def test_they_refuse_alike(program):
    """A misspelt key is refused with its place and the nearest key."""
    with pytest.raises(
        helm.RefusedError, match=re.escape("at '/web/replica': value must be 'no such key; the nearest")
    ):
        helm.template(program, {"evaluation": {"enabled": True}, "web": {"replica": 3}})
