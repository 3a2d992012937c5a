"""Ingress and HTTPRoute: hosts, TLS, redirects and path prefixes, in each topology's own way."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.chart import helm

EVALUATION: dict[str, Any] = {"evaluation": {"enabled": True}}
TLS = [{"secretName": "shop-tls", "hosts": ["shop.example"]}]
NGINX = "nginx.ingress.kubernetes.io/"
ALB = "alb.ingress.kubernetes.io/"


def ingress(topology: str, **values: Any) -> dict[str, Any]:
    """Render the Ingress of a topology."""
    return render(topology, **values).one("Ingress")


def render(topology: str, **values: Any) -> helm.Objects:
    """Render the chart with an Ingress for a topology."""
    return helm.render({**EVALUATION, "proxy": {"topology": topology}, "ingress": {"enabled": True, **values}})


def annotations(manifest: dict[str, Any]) -> dict[str, str]:
    """Return an object's annotations."""
    return manifest["metadata"].get("annotations", {})


def paths(manifest: dict[str, Any]) -> list[tuple[str, str]]:
    """Return path and pathType of an Ingress' rules."""
    rules = manifest["spec"]["rules"]
    return [(path["path"], path["pathType"]) for rule in rules for path in rule["http"]["paths"]]


class TestIngress:
    """What every Ingress has."""

    def test_hosts_tls_and_class_are_given_on(self):
        """Each host has its rule, TLS its Secret, and the class is the one that is named."""
        hosts = [
            {"host": "shop.example", "paths": [{"path": "/", "pathType": "Prefix"}]},
            {"host": "", "paths": [{"path": "/orders", "pathType": "Exact"}, {"path": "/api", "pathType": "Prefix"}]},
        ]
        manifest = ingress("traefik", className="public", hosts=hosts, tls=TLS)
        spec = manifest["spec"]
        assert (spec["ingressClassName"], spec["tls"]) == ("public", TLS)
        assert [rule.get("host") for rule in spec["rules"]] == ["shop.example", None]
        assert paths(manifest) == [("/", "Prefix"), ("/orders", "Exact"), ("/api", "Prefix")]

    def test_ones_own_annotation_wins(self):
        """An annotation that is given replaces the chart's."""
        manifest = ingress("ingress-nginx", tls=TLS, annotations={f"{NGINX}ssl-redirect": "false"})
        assert annotations(manifest)[f"{NGINX}ssl-redirect"] == "false"


class TestRedirect:
    """From http to https."""

    @pytest.mark.parametrize(
        ("topology", "tls", "expected"),
        [
            ("ingress-nginx", TLS, {f"{NGINX}ssl-redirect": "true"}),
            ("ingress-nginx", [], {f"{NGINX}ssl-redirect": "false"}),
            ("ingress-nginx-behind-lb", [], {f"{NGINX}ssl-redirect": "false", f"{NGINX}force-ssl-redirect": "true"}),
            ("cloudflare", [], {f"{NGINX}ssl-redirect": "false", f"{NGINX}force-ssl-redirect": "true"}),
            ("traefik", [], {}),
            ("gke", TLS, {}),
            ("istio", TLS, {}),
        ],
        ids=["nginx", "nginx-without-tls", "behind-lb", "cloudflare", "traefik-without-tls", "gke", "istio"],
    )
    def test_each_topology_has_its_annotation(self, topology, tls, expected):
        """A redirect is asked for where TLS ends, in the controller's own words, and nowhere else."""
        assert annotations(ingress(topology, tls=tls)) == expected

    def test_an_alb_redirects_where_it_has_a_certificate(self):
        """An ALB listens on both ports and redirects when the Ingress has TLS or names a certificate."""
        certificate = {f"{ALB}certificate-arn": "arn:aws:acm:eu-central-1:1:certificate/a"}
        assert f"{ALB}ssl-redirect" not in annotations(ingress("alb"))
        for manifest in (ingress("alb", tls=TLS), ingress("alb", annotations=certificate)):
            assert annotations(manifest)[f"{ALB}ssl-redirect"] == "443"
            assert annotations(manifest)[f"{ALB}listen-ports"] == '[{"HTTP": 80}, {"HTTPS": 443}]'
            assert annotations(manifest)[f"{ALB}target-type"] == "ip"

    def test_no_redirect_where_none_is_wanted(self):
        """With httpsRedirect off, nginx is told not to, which it does by itself where there is TLS."""
        manifest = ingress("ingress-nginx-behind-lb", tls=TLS, httpsRedirect=False)
        assert annotations(manifest) == {f"{NGINX}ssl-redirect": "false", f"{NGINX}force-ssl-redirect": "false"}

    def test_a_gateway_has_a_second_route(self):
        """With httpRoute.httpsRedirect the http listener has a route that redirects, and https the application's."""
        route = {
            "enabled": True,
            "hostnames": ["shop.example"],
            "parentRefs": [{"name": "main", "namespace": "edge", "sectionName": "https", "port": 443}],
            "httpsRedirect": True,
        }
        objects = helm.render({**EVALUATION, "proxy": {"topology": "istio"}, "httpRoute": route})
        redirect, main = sorted(objects.of("HTTPRoute"), key=helm.name)
        assert redirect["spec"]["parentRefs"] == [{"name": "main", "namespace": "edge", "sectionName": "http"}]
        assert redirect["spec"]["hostnames"] == main["spec"]["hostnames"] == ["shop.example"]
        (rule,) = redirect["spec"]["rules"]
        assert rule["filters"][0]["requestRedirect"] == {"scheme": "https", "statusCode": 301}
        assert "backendRefs" not in rule
        assert main["spec"]["parentRefs"] == route["parentRefs"]


class TestPrefix:
    """A path that the proxy takes away, and tells the application of."""

    @pytest.mark.parametrize(
        ("path", "path_type", "asked"),
        [
            ("/", "Prefix", {"/shop": "/", "/shop/": "/", "/shop/a/b": "/a/b", "/shopping": None}),
            (
                "/api",
                "Prefix",
                {"/shop/api": "/api", "/shop/api/": "/api/", "/shop/api/a": "/api/a", "/shop/apis": None},
            ),
            ("/api", "Exact", {"/shop/api": "/api", "/shop/api/a": None, "/shop": None}),
        ],
        ids=["everything", "a-part", "one-page"],
    )
    def test_nginx_takes_it_away(self, path, path_type, asked):
        """The expression and the rewrite lead each path to the one without the prefix, and leave others alone."""
        hosts = [{"host": "shop.example", "paths": [{"path": path, "pathType": path_type}]}]
        manifest = ingress("ingress-nginx", hosts=hosts, pathPrefix="/shop")
        ((expression, kind),) = paths(manifest)
        assert (kind, annotations(manifest)[f"{NGINX}use-regex"]) == ("ImplementationSpecific", "true")
        assert annotations(manifest)[f"{NGINX}x-forwarded-prefix"] == "/shop"
        target = annotations(manifest)[f"{NGINX}rewrite-target"].replace("$", "\\")
        # ingress-nginx matches at the path's beginning, whatever the case.
        matched = {given: re.match(expression, given, re.IGNORECASE) for given in asked}
        assert {given: match and match.expand(target) for given, match in matched.items()} == asked

    def test_traefik_has_a_middleware(self):
        """Traefik's Ingress names the chart's Middleware, which takes the prefix away."""
        objects = render("traefik", pathPrefix="/shop")
        middleware = objects.one("Middleware")
        assert middleware["spec"] == {"stripPrefix": {"prefixes": ["/shop"]}}
        named = annotations(objects.one("Ingress"))["traefik.ingress.kubernetes.io/router.middlewares"]
        assert named == f"{helm.NAMESPACE}-{middleware['metadata']['name']}@kubernetescrd"
        assert paths(objects.one("Ingress")) == [("/shop", "Prefix")]

    def test_a_gateway_rewrites_and_tells(self):
        """An HTTPRoute replaces the prefix, and sets the header over any that a client sent."""
        route = {"enabled": True, "parentRefs": [{"name": "main"}], "pathPrefix": "/shop"}
        objects = helm.render({**EVALUATION, "proxy": {"topology": "gke"}, "httpRoute": route})
        (rule,) = objects.one("HTTPRoute")["spec"]["rules"]
        assert rule["matches"] == [{"path": {"type": "PathPrefix", "value": "/shop"}}]
        header, rewrite = rule["filters"]
        assert header["requestHeaderModifier"] == {"set": [{"name": "X-Forwarded-Prefix", "value": "/shop"}]}
        assert rewrite["urlRewrite"] == {"path": {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/"}}

    @pytest.mark.parametrize("prefix", ["", "/shop"], ids=["without", "with"])
    def test_it_counts_only_where_it_is_set(self, prefix):
        """X-Forwarded-Prefix is believed exactly where the chart's route sends it."""
        web = helm.containers(render("traefik", pathPrefix=prefix).one("Deployment", "web")["spec"]["template"])[-1]
        counts = {variable["name"]: variable.get("value") for variable in web["env"]}
        assert counts["ULLAGE_PROXY_X_PREFIX"] == ("1" if prefix else "0")


def test_rules_of_ones_own_replace_the_chart_s():
    """httpRoute.rules are taken as they are."""
    rules = [{"matches": [{"path": {"type": "Exact", "value": "/"}}], "backendRefs": [{"name": "front", "port": 80}]}]
    route = {"enabled": True, "parentRefs": [{"name": "main"}], "rules": rules}
    objects = helm.render({**EVALUATION, "proxy": {"topology": "istio"}, "httpRoute": route})
    assert objects.one("HTTPRoute")["spec"]["rules"] == rules
