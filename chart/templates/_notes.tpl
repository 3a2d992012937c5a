{{/* ullage.notes.switch is on or off. */}}
{{- define "ullage.notes.switch" -}}
{{- ternary "on" "off" . -}}
{{- end -}}

{{/* ullage.notes.policies says what is done about leaks and stale connections. */}}
{{- define "ullage.notes.policies" -}}
{{- $policies := list (printf "policy %s" .Values.ullage.policy) -}}
{{- range include "ullage.workers" . | fromJsonArray -}}
{{- if .policy }}{{- $policies = append $policies (printf "%s for worker set %s" .policy .name) -}}{{- end -}}
{{- end -}}
{{- range .Values.ullage.policyOverrides }}{{- $policies = append $policies . -}}{{- end -}}
{{- append $policies (printf "pre-ping %s" .Values.ullage.prePing) | join ", " -}}
{{- end -}}

{{/* ullage.notes.addresses are web's, one a line, by how it is exposed. */}}
{{- define "ullage.notes.addresses" -}}
{{- $web := include "ullage.componentName" (dict "context" $ "component" "web") -}}
{{- $prefix := include "ullage.proxy.prefix" . -}}
{{- $namespace := .Release.Namespace -}}
{{- if .Values.ingress.enabled -}}
{{- $secure := list -}}
{{- range .Values.ingress.tls }}{{- $secure = concat $secure (default list .hosts) -}}{{- end -}}
{{- range .Values.ingress.hosts }}
     {{ has .host $secure | ternary "https" "http" }}://{{ .host | default "<any host>" }}{{ $prefix }}/
{{- end }}
     kubectl get ingress -n {{ $namespace }} {{ $web }}   (its address)
{{- if and (eq .Values.proxy.topology "traefik") .Values.ingress.httpsRedirect .Values.ingress.tls (not (has "https" (include "ullage.ingress.middlewares" . | fromJsonArray))) }}
   http is not redirected to https: the cluster has no Middleware of Traefik (traefik.io/v1alpha1); redirect at the entry
   point, or set ingress.httpsRedirect to false.
{{- end }}
{{- if and (has .Values.proxy.topology (list "gke" "istio")) .Values.ingress.httpsRedirect }}
   http is not redirected to https by an Ingress of topology {{ .Values.proxy.topology }}; docs/proxies.md says where that is set.
{{- end }}
{{- else if .Values.httpRoute.enabled }}
{{- range .Values.httpRoute.hostnames | default (list "<any host of the Gateway>") }}
     {{ $.Values.httpRoute.httpsRedirect | ternary "https" "http" }}://{{ . }}{{ $prefix }}/
{{- end }}
   If not, its conditions say why:
     kubectl describe httproute -n {{ $namespace }} {{ $web }}
{{- else if eq .Values.web.service.type "LoadBalancer" }}
     http://<EXTERNAL-IP>:{{ .Values.web.service.port }}/ as in: kubectl get service -n {{ $namespace }} {{ $web }}
{{- else if eq .Values.web.service.type "NodePort" }}
     http://<a node>:<port>/ as in: kubectl get service -n {{ $namespace }} {{ $web }}
{{- else }}
     http://{{ $web }}.{{ $namespace }}:{{ .Values.web.service.port }}/ within the cluster, or here:
     kubectl port-forward -n {{ $namespace }} service/{{ $web }} 8000:{{ .Values.web.service.port }}   (http://localhost:8000/)
{{- end }}
{{- end -}}
