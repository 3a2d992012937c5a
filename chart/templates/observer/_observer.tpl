{{/* ullage.observer.watchesPods is non-empty when Events are written: the observer cannot log in to its sidecars. */}}
{{- define "ullage.observer.watchesPods" -}}
{{- $sidecars := and (include "ullage.isMeasured" .) (not .Values.exporter.webConfigSecret) -}}
{{- if and .Values.observer.enabled .Values.observer.events.enabled $sidecars -}}true{{- end -}}
{{- end -}}

{{/* ullage.observer.hasRole is non-empty when the chart gives the observer its permissions. */}}
{{- define "ullage.observer.hasRole" -}}
{{- if .Values.rbac.create }}{{ include "ullage.observer.watchesPods" . }}{{ end -}}
{{- end -}}

{{/* ullage.observer.podSelector is of web and workers, as the API takes it. */}}
{{- define "ullage.observer.podSelector" -}}
app.kubernetes.io/name={{ include "ullage.name" . }},app.kubernetes.io/instance={{ .Release.Name }},app.kubernetes.io/component in (web,worker)
{{- end -}}

{{/* ullage.observer.env is the observer's environment, as JSON; takes the root. RQ_REDIS_URL leads it to the queues. */}}
{{- define "ullage.observer.env" -}}
{{- $observer := .Values.observer -}}
{{- $env := include "ullage.redis.env" (dict "context" .) | fromJsonArray -}}
{{- $env = concat $env (include "ullage-library.listen.env" .Values.exporter | fromJsonArray) -}}
{{- with $observer.queues -}}
{{- $env = append $env (dict "name" "ULLAGE_QUEUES" "value" (join "," .)) -}}
{{- end -}}
{{- $budget := include "ullage.budget" . | fromJson -}}
{{- with $budget.components -}}
{{- $env = append $env (dict "name" "ULLAGE_CONNECTION_BUDGET" "value" (toJson .)) -}}
{{- end -}}
{{- with int $budget.limit -}}
{{- $env = append $env (dict "name" "ULLAGE_CONNECTION_LIMIT" "value" (toString .)) -}}
{{- end -}}
{{- if include "ullage.observer.watchesPods" . -}}
{{- $env = concat $env (list
  (dict "name" "ULLAGE_POD_SELECTOR" "value" (include "ullage.observer.podSelector" .))
  (dict "name" "ULLAGE_POD_NAMESPACE" "value" .Release.Namespace)
  (dict "name" "ULLAGE_METRICS_PORT" "value" (int .Values.exporter.port | toString))
  (dict "name" "ULLAGE_EVENTS_INTERVAL_SECONDS" "value" (toString $observer.events.intervalSeconds))) -}}
{{- with .Values.monitoring.rules.runbookUrlPrefix -}}
{{- $env = append $env (dict "name" "ULLAGE_RUNBOOK_URL" "value" (printf "%sSessionLeak.md" .)) -}}
{{- end -}}
{{- end -}}
{{- include "ullage.env" (dict "own" $env "extra" $observer.extraEnv) -}}
{{- end -}}

{{/* ullage.observer.volumes are the certificates for Redis and the web configuration, as JSON; takes the root. */}}
{{- define "ullage.observer.volumes" -}}
{{- $volumes := include "ullage.data.tlsVolume" (dict "context" . "kind" "redis") | fromJsonArray -}}
{{- if .Values.exporter.webConfigSecret -}}
{{- $volumes = append $volumes (include "ullage-library.webConfig.volume" .Values.exporter | fromYaml) -}}
{{- end -}}
{{- prepend $volumes (dict "name" "tmp" "emptyDir" (dict)) | toJson -}}
{{- end -}}

{{/* ullage.observer.volumeMounts go with ullage.observer.volumes, as JSON; takes the root. */}}
{{- define "ullage.observer.volumeMounts" -}}
{{- $mounts := list (dict "name" "tmp" "mountPath" "/tmp") -}}
{{- range include "ullage.data.tlsVolume" (dict "context" . "kind" "redis") | fromJsonArray -}}
{{- $mounts = append $mounts (dict "name" .name "mountPath" (printf "/etc/ullage/%s" .name) "readOnly" true) -}}
{{- end -}}
{{- if .Values.exporter.webConfigSecret -}}
{{- $mounts = append $mounts (include "ullage-library.webConfig.mount" dict | fromYaml) -}}
{{- end -}}
{{- toJson $mounts -}}
{{- end -}}
