{{/* ullage.worker.scalingBehavior is the HPA's: the user's over a pause before pods go; takes own. */}}
{{- define "ullage.worker.scalingBehavior" -}}
{{- $autoscaling := .own.autoscaling -}}
{{- $pause := dict "scaleDown" (dict "stabilizationWindowSeconds" $autoscaling.scaleDownStabilizationSeconds) -}}
{{- mergeOverwrite $pause (deepCopy $autoscaling.behavior) | toYaml -}}
{{- end -}}

{{/* ullage.keda.isUsed is non-empty when a worker set scales with its queues; takes the root. */}}
{{- define "ullage.keda.isUsed" -}}
{{- range include "ullage.workers" . | fromJsonArray -}}
{{- if eq .autoscaling.type "queue" -}}true{{- end -}}
{{- end -}}
{{- end -}}

{{/*
ullage.keda.secretTargetRef are the parameters that KEDA takes from Secrets, as a JSON list; takes the root. It logs in as
the workers do, and has no parameter for a whole URL.
*/}}
{{- define "ullage.keda.secretTargetRef" -}}
{{- $redis := .Values.redis -}}
{{- $arguments := dict "context" . "kind" "redis" -}}
{{- $source := include "ullage.data.source" $arguments -}}
{{- $references := list -}}
{{- if eq $source "url" -}}
{{- fail "workers: autoscaling.type queue cannot read redis.existingSecret.urlKey, because KEDA takes no URL; give redis.host (or hostKey), and redis.existingSecret.passwordKey" -}}
{{- else if eq $source "fields" -}}
{{- $existing := $redis.existingSecret -}}
{{- range $parameter, $key := dict "host" $existing.hostKey "username" $existing.userKey "password" $existing.passwordKey -}}
{{- if $key -}}
{{- $references = append $references (dict "parameter" $parameter "name" $existing.name "key" $key) -}}
{{- end -}}
{{- end -}}
{{- else if eq $source "made" -}}
{{- $secret := include "ullage.data.secretName" $arguments -}}
{{- $references = append $references (dict "parameter" "password" "name" $secret "key" "password") -}}
{{- end -}}
{{- if $redis.tls.enabled -}}
{{- with $redis.tls.caSecret -}}
{{- $references = append $references (dict "parameter" "ca" "name" . "key" $redis.tls.caKey) -}}
{{- end -}}
{{- with $redis.tls.clientSecret -}}
{{- $references = append $references (dict "parameter" "cert" "name" . "key" "tls.crt") -}}
{{- $references = append $references (dict "parameter" "key" "name" . "key" "tls.key") -}}
{{- end -}}
{{- end -}}
{{- toJson $references -}}
{{- end -}}

{{/* ullage.keda.redis is the metadata of a trigger without its queue; takes the root. */}}
{{- define "ullage.keda.redis" -}}
{{- $redis := .Values.redis -}}
{{- $existing := $redis.existingSecret -}}
{{- if and $existing.name $existing.hostKey -}}
port: {{ int $redis.port | quote }}
{{- else -}}
{{- $host := include "ullage.data.host" (dict "context" . "kind" "redis") | include "ullage.urlHost" }}
address: {{ printf "%s:%d" $host (int $redis.port) | toYaml }}
{{- end }}
{{- if and $redis.user (not (and $existing.name $existing.userKey)) }}
username: {{ toYaml $redis.user }}
{{- end }}
databaseIndex: {{ int $redis.database | quote }}
enableTLS: {{ $redis.tls.enabled | quote }}
{{- end -}}
