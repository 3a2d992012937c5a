{{/* ullage.budget.surge is the number of pods that a rolling update adds; takes replicas and maxSurge, 1 or 25%. */}}
{{- define "ullage.budget.surge" -}}
{{- $surge := toString .maxSurge -}}
{{- if hasSuffix "%" $surge -}}
{{- /* Rounded up, as Kubernetes does. */ -}}
{{- div (add (mul (int .replicas) (int (trimSuffix "%" $surge))) 99) 100 -}}
{{- else -}}
{{- int $surge -}}
{{- end -}}
{{- end -}}

{{/*
ullage.budget.component is the most connections of one component and the sum in words, as JSON; takes name, replicas,
maxSurge, processes, pool and processName.
*/}}
{{- define "ullage.budget.component" -}}
{{- $replicas := int .replicas -}}
{{- $surge := include "ullage.budget.surge" . | int -}}
{{- $processes := int .processes -}}
{{- $size := int .pool.size -}}
{{- $overflow := int .pool.maxOverflow -}}
{{- $connections := mul (add $replicas $surge) $processes (add $size $overflow) | int -}}
{{- $explanation := printf "%s: (%d %s + %d surge) x %d %s x (%d + %d) = %d" .name
  $replicas (eq $replicas 1 | ternary "replica" "replicas") $surge
  $processes (eq $processes 1 | ternary "process" "processes") $size $overflow $connections -}}
{{- dict "name" .name "connections" $connections "explanation" $explanation | toJson -}}
{{- end -}}

{{/* ullage.budget.web is web's entry, as JSON. */}}
{{- define "ullage.budget.web" -}}
{{- $web := .Values.web -}}
{{- include "ullage.budget.component" (dict
  "name" "web"
  "replicas" ($web.autoscaling.enabled | ternary $web.autoscaling.maxReplicas $web.replicas)
  "maxSurge" $web.strategy.maxSurge
  "processes" $web.gunicorn.workers
  "pool" $web.pool) -}}
{{- end -}}

{{/* ullage.budget.worker is a worker set's entry, as JSON; takes the worker. A job runs in a work horse; the parent has no pool. */}}
{{- define "ullage.budget.worker" -}}
{{- include "ullage.budget.component" (dict
  "name" (printf "worker-%s" .name)
  "replicas" (eq .autoscaling.type "none" | ternary .replicas .autoscaling.maxReplicas)
  "maxSurge" .strategy.maxSurge
  "processes" .processes
  "pool" .pool) -}}
{{- end -}}

{{/*
ullage.budget is the most connections that the release may hold at once, as JSON: components, total, limit (0 is unknown),
available and explanation. A pod that waits for the schema holds one, before its application opens any.
*/}}
{{- define "ullage.budget" -}}
{{- $entries := list -}}
{{- if .Values.database.enabled -}}
{{- if .Values.web.enabled }}{{ $entries = append $entries (include "ullage.budget.web" . | fromJson) }}{{ end -}}
{{- range include "ullage.workers" . | fromJsonArray -}}
{{- $entries = append $entries (include "ullage.budget.worker" . | fromJson) -}}
{{- end -}}
{{- if .Values.migrations.enabled -}}
{{- $entries = append $entries (dict "name" "migration" "connections" 1 "explanation" "migration: 1") -}}
{{- end -}}
{{- end -}}
{{- $components := dict -}}
{{- $total := 0 -}}
{{- $explanations := list -}}
{{- range $entries -}}
{{- $_ := set $components .name (int .connections) -}}
{{- $total = add $total (int .connections) | int -}}
{{- $explanations = append $explanations .explanation -}}
{{- end -}}
{{- $limit := include "ullage.database.maxConnections" . | int -}}
{{- $available := max 0 (sub $limit (int .Values.database.reservedConnections)) | int -}}
{{- $explanation := join "; " $explanations -}}
{{- if gt (len $entries) 1 }}{{ $explanation = printf "%s; in total %d" $explanation $total }}{{ end -}}
{{- dict "components" $components "total" $total "limit" $limit "available" $available "explanation" $explanation | toJson -}}
{{- end -}}
