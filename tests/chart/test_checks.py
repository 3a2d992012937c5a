"""Values that contradict each other: Helm refuses them, with one sentence and the fix for each."""

from __future__ import annotations

from typing import Any

import pytest

from tests.chart import helm

EVALUATION: dict[str, Any] = {"evaluation": {"enabled": True}}
GATEWAY = {"enabled": True, "parentRefs": [{"name": "main", "sectionName": "https"}]}
EXTERNAL: dict[str, Any] = {"database": {"host": "db"}, "redis": {"host": "redis"}}


def traefik(**values: Any) -> dict[str, Any]:
    """Give values that are right but for those given."""
    return {**EVALUATION, "proxy": {"topology": "traefik"}, **values}


def worker(**values: Any) -> dict[str, Any]:
    """Give right values with one worker set."""
    return {**EVALUATION, "workers": [{"name": "mail", **values}]}


def refusal(given: dict[str, Any]) -> str:
    """Return what the checks say against values, or nothing; the schema is left out, which knows single values only."""
    try:
        helm.render(given)
    except helm.RefusedError as error:
        return str(error)
    return ""


REFUSED = {
    "nothing to run": ({**EVALUATION, "web": {"enabled": False}, "workers": []}, ["enable web or add an entry"]),
    "route without web": (traefik(web={"enabled": False}, ingress={"enabled": True}), ["web.enabled is false"]),
    "two routes": (
        traefik(ingress={"enabled": True}, httpRoute=GATEWAY),
        ["ingress.enabled and httpRoute.enabled are both true", "set one of them to false"],
    ),
    "no host": (traefik(ingress={"enabled": True, "hosts": []}), ["ingress.hosts is empty"]),
    "no Gateway": (traefik(httpRoute={"enabled": True}), ["httpRoute.parentRefs is empty; name the Gateway"]),
    "Gateway of ingress-nginx": ({**EVALUATION, "httpRoute": GATEWAY}, ["implements no HTTPRoute", "traefik, istio"]),
    "prefix at an ALB": (
        {**EVALUATION, "proxy": {"topology": "alb"}, "ingress": {"enabled": True, "pathPrefix": "/shop"}},
        ["an ALB cannot send X-Forwarded-Prefix"],
    ),
    "prefix at an Ingress of GKE": (
        {**EVALUATION, "proxy": {"topology": "gke"}, "ingress": {"enabled": True, "pathPrefix": "/shop"}},
        ["topology gke cannot send X-Forwarded-Prefix; use httpRoute"],
    ),
    "prefix and rules": (
        traefik(httpRoute={**GATEWAY, "pathPrefix": "/shop", "rules": [{"backendRefs": [{"name": "a", "port": 1}]}]}),
        ["httpRoute.rules and httpRoute.pathPrefix are both set", "xPrefix 1"],
    ),
    "prefix that nobody counts": (
        {
            **EVALUATION,
            "proxy": {"topology": "custom", "custom": {"xFor": 1}},
            "ingress": {"enabled": True, "pathPrefix": "/shop"},
        },
        ["proxy.custom.xPrefix is 0", "set it to 1"],
    ),
    "redirect at every listener": (
        traefik(httpRoute={"enabled": True, "httpsRedirect": True, "parentRefs": [{"name": "main"}]}),
        ["the parentRef main", "set it to the Gateway's https listener"],
    ),
    "unknown topology": (
        {**EVALUATION, "proxy": {"topology": "nginx"}},
        ['proxy.topology is "nginx"; it is one of alb, cloudflare'],
    ),
    "custom without counts": (
        {**EVALUATION, "proxy": {"topology": "custom"}},
        ["every number in proxy.custom is 0", "docs/proxies.md"],
    ),
    "counts without custom": (
        traefik(proxy={"topology": "traefik", "custom": {"xFor": 2}}),
        ["proxy.custom has numbers", "set the topology to custom"],
    ),
    "route and no proxies": (
        {**EVALUATION, "proxy": {"topology": "none"}, "ingress": {"enabled": True}},
        ["proxy.topology is none and a route is enabled"],
    ),
    "no database": ({"redis": {"host": "redis"}}, ["No database is given: set database.host"]),
    "no Redis": ({"database": {"host": "db"}}, ["No redis is given: set redis.host"]),
    "evaluation beside a database": (
        {**EVALUATION, "database": {"host": "db"}},
        ["database.host names another; set evaluation.enabled to false"],
    ),
    "Secret without keys": (
        {**EXTERNAL, "redis": {"host": "redis", "existingSecret": {"name": "r", "passwordKey": ""}}},
        ["redis.existingSecret.name is r and no key of it is named"],
    ),
    "keys without a Secret": (
        {**EXTERNAL, "database": {"host": "db", "existingSecret": {"userKey": "user"}}},
        ["database.existingSecret has a key and no name"],
    ),
    "more connections than there are": (
        {**EXTERNAL, "database": {"host": "db", "maxConnections": 70}},
        [
            "may open 67 connections and the database has 60",
            "web: (2 replicas + 1 surge) x 2 processes x (5 + 5) = 60",
            "raise database.maxConnections",
        ],
    ),
    "web killed early": (
        {**EVALUATION, "web": {"terminationGracePeriodSeconds": 39}},
        ["web.terminationGracePeriodSeconds is 39", "set it to 45 or more"],
    ),
    "web of one's own killed early": (
        {**EVALUATION, "web": {"command": ["serve"], "terminationGracePeriodSeconds": 9}},
        ["(preStopSeconds + 5)", "set it to 15 or more"],
    ),
    "job killed": (
        worker(jobTimeoutSeconds=600),
        ["Worker set mail: terminationGracePeriodSeconds is 210", "set it to 615"],
    ),
    "web scaled below its minimum": (
        {**EVALUATION, "web": {"autoscaling": {"enabled": True, "minReplicas": 4, "maxReplicas": 3}}},
        ["web.autoscaling.maxReplicas is 3 and minReplicas is 4"],
    ),
    "workers scaled below their minimum": (
        worker(autoscaling={"type": "queue", "minReplicas": 5}),
        ["Worker set mail: autoscaling.maxReplicas is 4 and minReplicas is 5"],
    ),
    "long name": (worker(name="m" * 31), ["1 to 30 of a-z, 0-9 and -"]),
    "name twice": ({**EVALUATION, "workers": [{"name": "mail"}, {"name": "mail"}]}, ["the name mail twice"]),
    "worker without Redis": (
        {"database": {"host": "db"}, "redis": {"enabled": False}},
        ["Worker set default: redis.enabled is false"],
    ),
    "queue length without Redis": (
        {
            "database": {"host": "db"},
            "redis": {"enabled": False},
            "workers": [{"name": "mail", "command": ["work"], "autoscaling": {"type": "queue"}}],
        },
        ["no queue's length is known"],
    ),
    "no pod can be replaced": (
        {**EVALUATION, "web": {"strategy": {"maxSurge": "0%"}}},
        ["web.strategy.maxSurge and maxUnavailable are both 0"],
    ),
    "no worker can be replaced": (
        worker(strategy={"maxSurge": 0}),
        ["Worker set mail: strategy.maxSurge and maxUnavailable are both 0"],
    ),
    "injected worker without a command": (
        worker(inject={"enabled": True}),
        ["Worker set mail: inject.enabled", "set command"],
    ),
    "PYTHONPATH that cannot be read": (
        {
            **EVALUATION,
            "web": {
                "inject": {"enabled": True},
                "extraEnv": [{"name": "PYTHONPATH", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "k"}}}],
            },
        },
        ["web inject.enabled puts the package before PYTHONPATH", "give PYTHONPATH as a value"],
    ),
    "Events without sidecars": (
        {**EVALUATION, "exporter": {"enabled": False}},
        ["exporter.enabled is false; set observer.events.enabled to false"],
    ),
}


@pytest.mark.parametrize(("given", "said"), REFUSED.values(), ids=[name.replace(" ", "-") for name in REFUSED])
def test_a_contradiction_is_refused_with_its_fix(given, said):
    """Each contradiction fails the render, and the message has the values and what to do."""
    message = refusal(given)
    assert [part for part in said if part not in message] == [], message


def test_all_problems_come_at_once():
    """Several contradictions are one message, a line each."""
    message = refusal({"web": {"terminationGracePeriodSeconds": 9}})
    assert message.count("\n- ") == 3, message


@pytest.mark.parametrize(
    "given",
    [
        pytest.param({**EXTERNAL, "database": {"host": "db", "maxConnections": 77}}, id="as-many-as-there-are"),
        pytest.param({**EVALUATION, "web": {"terminationGracePeriodSeconds": 45}}, id="grace-just-enough"),
        pytest.param(worker(jobTimeoutSeconds=195), id="job-just-enough"),
        pytest.param(worker(autoscaling={"type": "cpu", "minReplicas": 4}), id="as-few-as-many"),
        pytest.param({"redis": {"enabled": False}, "workers": [], "database": {"host": "db"}}, id="without-rq"),
        pytest.param({"database": {"existingSecret": {"name": "s", "urlKey": "u"}}, "redis": {"host": "r"}}, id="url"),
        pytest.param(
            {**EVALUATION, "exporter": {"enabled": False}, "observer": {"events": {"enabled": False}}}, id="no-sidecars"
        ),
        pytest.param({**EVALUATION, "web": {"enabled": False}}, id="workers-alone"),
    ],
)
def test_what_is_just_right_is_accepted(given):
    """At the limit, and with parts left out as documented, nothing is refused."""
    assert refusal(given) == ""
