{{/*
ullage-library.podMonitor.spec is the spec of a PodMonitor for pods with a port `metrics`.
Takes matchLabels, matchExpressions or both; and podTargetLabels and monitor: interval, scrapeTimeout, relabelings,
metricRelabelings, scheme, tlsConfig, basicAuth.
*/}}
{{- define "ullage-library.podMonitor.spec" -}}
{{- $monitor := default dict .monitor -}}
{{- if not (or .matchLabels .matchExpressions) -}}
{{- fail "ullage-library.podMonitor.spec needs matchLabels or matchExpressions of the pods; without, it would select all" -}}
{{- end -}}
selector:
  {{- range $key := list "matchLabels" "matchExpressions" }}
  {{- with get $ $key }}
  {{ $key }}:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- end }}
{{- with .podTargetLabels }}
podTargetLabels:
  {{- toYaml . | nindent 2 }}
{{- end }}
podMetricsEndpoints:
  - port: metrics
    path: /metrics
    scheme: {{ default "http" $monitor.scheme }}
    {{- range $key := list "interval" "scrapeTimeout" }}
    {{- with get $monitor $key }}
    {{ $key }}: {{ . }}
    {{- end }}
    {{- end }}
    {{- range $key := list "tlsConfig" "basicAuth" "relabelings" "metricRelabelings" }}
    {{- with get $monitor $key }}
    {{ $key }}:
      {{- toYaml . | nindent 6 }}
    {{- end }}
    {{- end }}
{{- end -}}

{{/* ullage-library.scrapeAnnotations are for a Prometheus without the operator; takes port, and scheme. */}}
{{- define "ullage-library.scrapeAnnotations" -}}
prometheus.io/scrape: "true"
prometheus.io/port: {{ default 9145 .port | int | quote }}
prometheus.io/path: /metrics
prometheus.io/scheme: {{ default "http" .scheme }}
{{- end -}}
