{{/* ullage.checks fails with every contradiction in the values at once, each a sentence and what to do, or gives nothing. */}}
{{- define "ullage.checks" -}}
{{- $problems := list -}}
{{- range list "web" "route" "prefix" "redirect" "proxy" "server" "budget" "grace" "autoscaling" "workers" "inject" "observer" -}}
{{- $found := include (printf "ullage.checks.%s" .) $ | splitList "\n" -}}
{{- range $found -}}
{{- with trim . }}{{ $problems = append $problems . }}{{ end -}}
{{- end -}}
{{- end -}}
{{- with $problems -}}
{{- fail (printf "\n\nThe values contradict each other:\n- %s\n" (join "\n- " .)) -}}
{{- end -}}
{{- end -}}

{{- define "ullage.checks.web" -}}
{{- if not (or .Values.web.enabled .Values.workers) }}
There is nothing to run: web.enabled is false and workers is empty; enable web or add an entry to workers.
{{- end }}
{{- if and (not .Values.web.enabled) (or .Values.ingress.enabled .Values.httpRoute.enabled) }}
A route leads to web, and web.enabled is false; set ingress.enabled and httpRoute.enabled to false, or web.enabled to true.
{{- end }}
{{- end -}}

{{- define "ullage.checks.route" -}}
{{- $route := .Values.httpRoute -}}
{{- if and .Values.ingress.enabled $route.enabled }}
ingress.enabled and httpRoute.enabled are both true, and one address would have two routes; set one of them to false.
{{- end }}
{{- if and .Values.ingress.enabled (not .Values.ingress.hosts) }}
ingress.enabled is true and ingress.hosts is empty; add an entry such as {host: app.example.com, paths: [{path: /, pathType: Prefix}]}.
{{- end }}
{{- if $route.enabled }}
{{- if not $route.parentRefs }}
httpRoute.enabled is true and httpRoute.parentRefs is empty; name the Gateway, such as [{name: gateway, namespace: gateways}].
{{- end }}
{{- if hasPrefix "ingress-nginx" .Values.proxy.topology }}
proxy.topology is {{ .Values.proxy.topology }}, which implements no HTTPRoute; set it to what the Gateway is: traefik, istio, gke, alb, cloudflare or custom.
{{- end }}
{{- end }}
{{- end -}}

{{- define "ullage.checks.prefix" -}}
{{- $topology := .Values.proxy.topology -}}
{{- $prefix := include "ullage.proxy.prefix" . -}}
{{- $key := .Values.ingress.enabled | ternary "ingress.pathPrefix" "httpRoute.pathPrefix" -}}
{{- if $prefix }}
{{- if not (regexMatch "^(/[A-Za-z0-9._~-]+)+$" $prefix) }}
{{ $key }} is {{ quote $prefix }}; it begins with / and does not end with it, such as /shop.
{{- end }}
{{- if eq $topology "alb" }}
{{ $key }} is {{ quote $prefix }}, and an ALB cannot send X-Forwarded-Prefix; serve the application under its path and leave the prefix empty.
{{- else if and .Values.ingress.enabled (has $topology (list "gke" "istio")) }}
ingress.pathPrefix is {{ quote $prefix }}, and an Ingress of topology {{ $topology }} cannot send X-Forwarded-Prefix; use httpRoute instead.
{{- end }}
{{- if and .Values.httpRoute.enabled .Values.httpRoute.rules }}
httpRoute.rules and httpRoute.pathPrefix are both set, and the rules would not take the prefix away; put it into the rules, leave httpRoute.pathPrefix empty, and set proxy.topology to custom with xPrefix 1.
{{- end }}
{{- if and (eq $topology "custom") (not (int .Values.proxy.custom.xPrefix)) }}
{{ $key }} is {{ quote $prefix }} and proxy.custom.xPrefix is 0, so that the application would not know of it; set it to 1.
{{- end }}
{{- end }}
{{- end -}}

{{- define "ullage.checks.redirect" -}}
{{- $route := .Values.httpRoute -}}
{{- if and $route.enabled $route.httpsRedirect }}
{{- range $route.parentRefs }}
{{- if or (not .sectionName) (eq .sectionName $route.httpSectionName) }}
httpRoute.httpsRedirect is true and the parentRef {{ .name }} has the sectionName {{ quote (default "" .sectionName) }}, so that http would have the redirect and the application; set it to the Gateway's https listener, and httpRoute.httpSectionName to the one for http.
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "ullage.checks.proxy" -}}
{{- $topology := .Values.proxy.topology -}}
{{- $counts := values (omit .Values.proxy.custom "") | toJson -}}
{{- $known := append (include "ullage.proxy.topologies" . | fromYaml | keys | sortAlpha) "custom" -}}
{{- $isCounted := regexMatch "[1-9]" $counts -}}
{{- if not (has $topology $known) }}
proxy.topology is {{ quote $topology }}; it is one of {{ join ", " $known }}.
{{- else if and (eq $topology "custom") (not $isCounted) }}
proxy.topology is custom and every number in proxy.custom is 0; count the proxies that set each header, as docs/proxies.md shows, or set the topology to none.
{{- else if and (ne $topology "custom") $isCounted }}
proxy.custom has numbers and proxy.topology is {{ $topology }}, which has its own; set the topology to custom, or the numbers to 0.
{{- else if and (eq $topology "none") (or .Values.ingress.enabled .Values.httpRoute.enabled) }}
proxy.topology is none and a route is enabled, so that the application would take the proxy for its client; set the topology to what the route's controller is.
{{- end }}
{{- end -}}

{{- define "ullage.checks.server" -}}
{{- range $kind := list "database" "redis" }}
{{- $server := index $.Values $kind -}}
{{- $existing := $server.existingSecret -}}
{{- $hasHost := or $server.host (and $existing.name (or $existing.urlKey $existing.hostKey)) -}}
{{- if $server.enabled }}
{{- if and $.Values.evaluation.enabled (or $server.host $existing.name) }}
evaluation.enabled brings a server, and {{ $kind }}.{{ $server.host | empty | ternary "existingSecret.name" "host" }} names another; set evaluation.enabled to false, or empty {{ $kind }}.host and {{ $kind }}.existingSecret.name.
{{- else if not (or $.Values.evaluation.enabled $hasHost) }}
No {{ $kind }} is given: set {{ $kind }}.host, or {{ $kind }}.existingSecret.name with urlKey or hostKey; or set evaluation.enabled to try the chart out, or {{ $kind }}.enabled to false.
{{- end }}
{{- if and $existing.name (not (or $existing.urlKey $existing.hostKey $existing.userKey $existing.passwordKey)) }}
{{ $kind }}.existingSecret.name is {{ $existing.name }} and no key of it is named; set {{ $kind }}.existingSecret.passwordKey or urlKey.
{{- end }}
{{- if and (not $existing.name) (or $existing.urlKey $existing.hostKey $existing.userKey) }}
{{ $kind }}.existingSecret has a key and no name; set {{ $kind }}.existingSecret.name.
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "ullage.checks.observer" -}}
{{- if and .Values.observer.enabled .Values.observer.events.enabled (not (include "ullage.isMeasured" .)) }}
observer.events.enabled reads the leaks from the sidecars, and there are none: {{ .Values.exporter.enabled | ternary "ullage" "exporter" }}.enabled is false; set observer.events.enabled to false too.
{{- end }}
{{- end -}}
