{{/*
ullage.proxy.topologies is how many proxies set each header, counted from the application, as YAML. docs/proxies.md has
the sources. x_prefix is not here: it is 1 where this chart's route takes a prefix away.
*/}}
{{- define "ullage.proxy.topologies" -}}
# Nobody is in front: every X-Forwarded-* is the client's own invention.
none: {x_for: 0, x_proto: 0, x_host: 0, x_port: 0}

# Replaces For, Proto, Host and Port by what it sees. Its Port is the one that it listens on, behind a node port or a load
# balancer not the client's; Host has that one.
ingress-nginx: {x_for: 1, x_proto: 1, x_host: 1, x_port: 0}

# A load balancer that appends to For, and ingress-nginx with use-forwarded-headers and compute-full-forwarded-for: it
# appends the load balancer, and passes the one Proto and Host on.
ingress-nginx-behind-lb: {x_for: 2, x_proto: 1, x_host: 1, x_port: 0}

# Drops what a caller outside of forwardedHeaders.trustedIPs sends, then sets all four; its Port is Host's.
traefik: {x_for: 1, x_proto: 1, x_host: 1, x_port: 1}

# Appends to For, replaces Proto and Port, and never sets Host: an X-Forwarded-Host is the client's.
alb: {x_for: 1, x_proto: 1, x_host: 0, x_port: 1}

# Appends two addresses to For, the client's and its own, and replaces Proto. Host and Port are the client's.
gke: {x_for: 2, x_proto: 1, x_host: 0, x_port: 0}

# The ingress gateway (Envoy, numTrustedProxies 0) appends to For and replaces Proto; Host and Port are off by default. The
# sidecar at the pod adds nothing.
istio: {x_for: 1, x_proto: 1, x_host: 0, x_port: 0}

# Cloudflare appends the visitor to For and sets Proto; behind it an ingress controller that trusts Cloudflare's addresses
# appends Cloudflare's and keeps Proto. Cloudflare passes the visitor's X-Forwarded-Host and -Port on.
cloudflare: {x_for: 2, x_proto: 1, x_host: 0, x_port: 0}
{{- end -}}

{{/* ullage.proxy.prefix is the path that the enabled route takes away, or nothing. */}}
{{- define "ullage.proxy.prefix" -}}
{{- if .Values.ingress.enabled -}}
{{- .Values.ingress.pathPrefix -}}
{{- else if .Values.httpRoute.enabled -}}
{{- .Values.httpRoute.pathPrefix -}}
{{- end -}}
{{- end -}}

{{/* ullage.proxy.counts is ProxyFix's numbers, x_for to x_prefix, as JSON; ullage.checks refuses unknown topologies. */}}
{{- define "ullage.proxy.counts" -}}
{{- $counts := dict -}}
{{- if eq .Values.proxy.topology "custom" -}}
{{- range $header := list "For" "Proto" "Host" "Port" "Prefix" -}}
{{- $_ := set $counts (printf "x_%s" (lower $header)) (index $.Values.proxy.custom (printf "x%s" $header) | int) -}}
{{- end -}}
{{- else -}}
{{- $known := get (include "ullage.proxy.topologies" . | fromYaml) .Values.proxy.topology | default dict -}}
{{- range $name := list "x_for" "x_proto" "x_host" "x_port" -}}
{{- $_ := set $counts $name (get $known $name | default 0 | int) -}}
{{- end -}}
{{- $_ := set $counts "x_prefix" (empty (include "ullage.proxy.prefix" .) | ternary 0 1) -}}
{{- end -}}
{{- toJson $counts -}}
{{- end -}}

{{/* ullage.proxy.env is the counts as web's environment, as JSON. */}}
{{- define "ullage.proxy.env" -}}
{{- $env := list -}}
{{- range $name, $count := include "ullage.proxy.counts" . | fromJson -}}
{{- $env = append $env (dict "name" (printf "ULLAGE_PROXY_%s" (upper $name)) "value" ($count | int | toString)) -}}
{{- end -}}
{{- toJson $env -}}
{{- end -}}

{{/*
ullage.proxy.forwardedAllowIPs is Gunicorn's. It is empty, for nobody: from those that it trusts it takes SCRIPT_NAME as
well, which moves the path that the application sees, and no proxy here removes that from a client's request. ProxyFix
does what Gunicorn would do with X-Forwarded-Proto.
*/}}
{{- define "ullage.proxy.forwardedAllowIPs" -}}
{{- .Values.proxy.forwardedAllowIPs -}}
{{- end -}}

{{/* ullage.proxy.isNginx is not empty where ingress-nginx reads the Ingress. */}}
{{- define "ullage.proxy.isNginx" -}}
{{- if has .Values.proxy.topology (list "ingress-nginx" "ingress-nginx-behind-lb" "cloudflare") }}true{{ end -}}
{{- end -}}
