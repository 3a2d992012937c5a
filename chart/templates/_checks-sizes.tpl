{{/* The checks that compare numbers, and those of each worker set; ullage.checks collects them. */}}

{{- define "ullage.checks.budget" -}}
{{- $budget := include "ullage.budget" . | fromJson -}}
{{- if and (int $budget.limit) (gt (int $budget.total) (int $budget.available)) }}
The connection pools may open {{ int $budget.total }} connections and the database has {{ int $budget.available }} for them ({{ int $budget.limit }} less {{ .Values.database.reservedConnections }} reserved): {{ $budget.explanation }}. Lower pool.size, pool.maxOverflow, replicas or processes, or raise database.maxConnections together with the server's.
{{- end }}
{{- end -}}

{{- define "ullage.checks.grace" -}}
{{- $web := .Values.web -}}
{{- if $web.enabled }}
{{- $needed := add (int $web.preStopSeconds) (empty $web.command | ternary (int $web.gunicorn.gracefulTimeoutSeconds) 0) 5 | int -}}
{{- if lt (int $web.terminationGracePeriodSeconds) $needed }}
web.terminationGracePeriodSeconds is {{ $web.terminationGracePeriodSeconds }}, and requests may run for {{ $needed }} s (preStopSeconds{{ if not $web.command }} + gracefulTimeoutSeconds{{ end }} + 5) after a pod is told to end; set it to {{ $needed }} or more.
{{- end }}
{{- end }}
{{- range include "ullage.workers" . | fromJsonArray }}
{{- $needed := add (int .jobTimeoutSeconds) 15 | int -}}
{{- if lt (int .terminationGracePeriodSeconds) $needed }}
Worker set {{ .name }}: terminationGracePeriodSeconds is {{ int .terminationGracePeriodSeconds }}, and a job may run for {{ int .jobTimeoutSeconds }} s, so that a rollout would kill it; set it to {{ $needed }} (jobTimeoutSeconds + 15) or more.
{{- end }}
{{- end }}
{{- end -}}

{{- define "ullage.checks.autoscaling" -}}
{{- $scaled := list -}}
{{- if and .Values.web.enabled .Values.web.autoscaling.enabled -}}
{{- $scaled = append $scaled (dict "title" "web.autoscaling" "own" .Values.web.autoscaling) -}}
{{- end -}}
{{- range include "ullage.workers" . | fromJsonArray -}}
{{- if ne .autoscaling.type "none" -}}
{{- $scaled = append $scaled (dict "title" (printf "Worker set %s: autoscaling" .name) "own" .autoscaling) -}}
{{- end -}}
{{- end -}}
{{- range $scaled }}
{{- if lt (int .own.maxReplicas) (int .own.minReplicas) }}
{{ .title }}.maxReplicas is {{ int .own.maxReplicas }} and minReplicas is {{ int .own.minReplicas }}; raise the one or lower the other.
{{- end }}
{{- end }}
{{- end -}}

{{- define "ullage.checks.workers" -}}
{{- $seen := dict -}}
{{- range include "ullage.workers" . | fromJsonArray }}
{{- $name := default "" .name | toString -}}
{{- if not (regexMatch "^[a-z0-9]([-a-z0-9]{0,28}[a-z0-9])?$" $name) }}
workers has the name {{ quote $name }}; it is 1 to 30 of a-z, 0-9 and -, and begins and ends with a letter or digit.
{{- else if hasKey $seen $name }}
workers has the name {{ $name }} twice; give each entry a name of its own.
{{- end }}
{{- $_ := set $seen $name true -}}
{{- if not (or .queues .command) }}
Worker set {{ $name }}: queues is empty; name the queues that it works on.
{{- end }}
{{- if and (not $.Values.redis.enabled) (not .command) }}
Worker set {{ $name }}: redis.enabled is false and `ullage worker` needs Redis; set it to true, set the entry's command, or remove the entry.
{{- end }}
{{- if and (eq .autoscaling.type "queue") (not $.Values.redis.enabled) }}
Worker set {{ $name }}: autoscaling.type is queue and redis.enabled is false, so that no queue's length is known; use cpu or none.
{{- end }}
{{- include "ullage.checks.strategy" (dict "title" (printf "Worker set %s: strategy" $name) "own" .strategy) }}
{{- end }}
{{- if .Values.web.enabled }}
{{- include "ullage.checks.strategy" (dict "title" "web.strategy" "own" .Values.web.strategy) }}
{{- end }}
{{- end -}}

{{/* ullage.checks.strategy takes title and own. */}}
{{- define "ullage.checks.strategy" -}}
{{- if and (has (toString .own.maxSurge) (list "0" "0%")) (has (toString .own.maxUnavailable) (list "0" "0%")) }}
{{ .title }}.maxSurge and maxUnavailable are both 0, and no pod could ever be replaced; set one of them to 1.
{{- end }}
{{- end -}}

{{- define "ullage.checks.inject" -}}
{{- $injected := list -}}
{{- if and .Values.web.enabled .Values.web.inject.enabled -}}
{{- $injected = append $injected (dict "title" "web" "own" .Values.web) -}}
{{- end -}}
{{- range include "ullage.workers" . | fromJsonArray -}}
{{- if .inject.enabled -}}
{{- $injected = append $injected (dict "title" (printf "Worker set %s:" .name) "own" .) -}}
{{- if not .command }}
Worker set {{ .name }}: inject.enabled is for an image without ullage, which has no `ullage worker`; set command to what starts the image's worker, such as [rq, worker, default].
{{- end }}
{{- end -}}
{{- end -}}
{{- range $injected }}
{{- $title := .title -}}
{{- range .own.extraEnv }}
{{- if and (eq .name "PYTHONPATH") .valueFrom }}
{{ $title }} inject.enabled puts the package before PYTHONPATH, and extraEnv takes that from elsewhere (valueFrom), where it cannot be read; give PYTHONPATH as a value.
{{- end }}
{{- end }}
{{- end }}
{{- end -}}
