{{/* ullage.worker.containers are the names of a worker pod's containers, as JSON; takes own. */}}
{{- define "ullage.worker.containers" -}}
{{- $names := list "worker" -}}
{{- range untilStep 2 (int .own.processes | add1 | int) 1 -}}
{{- $names = append $names (printf "worker-%d" .) -}}
{{- end -}}
{{- toJson $names -}}
{{- end -}}

{{/*
ullage.worker.command is `ullage worker`, or the user's, as JSON; takes context, own and container. The containers of a
pod share /dev/shm, so the heartbeat files have their names.
*/}}
{{- define "ullage.worker.command" -}}
{{- $command := .own.command -}}
{{- if not $command -}}
{{- $command = list "ullage" "worker" "--heartbeat-file" (include "ullage.worker.heartbeatFile" .) -}}
{{- range .own.preload -}}
{{- $command = concat $command (list "--preload" .) -}}
{{- else -}}
{{- $command = append $command "--no-preload" -}}
{{- end -}}
{{- if .context.Values.scheduler.enabled -}}
{{- $command = append $command "--with-scheduler" -}}
{{- end -}}
{{- $command = concat $command .own.args .own.queues -}}
{{- end -}}
{{- include "ullage.app.command" (dict "context" .context "own" .own "command" $command) -}}
{{- end -}}

{{/* ullage.worker.heartbeatFile takes container. */}}
{{- define "ullage.worker.heartbeatFile" -}}
/dev/shm/{{ .container }}
{{- end -}}

{{/* ullage.worker.hasHeartbeat is non-empty when the command is `ullage worker`; takes own. */}}
{{- define "ullage.worker.hasHeartbeat" -}}
{{- $isOurs := or (not .own.command) (hasPrefix "ullage worker" (join " " .own.command)) -}}
{{- if and .own.liveness.enabled $isOurs -}}true{{- end -}}
{{- end -}}

{{/* ullage.worker.container is one of a worker pod's containers; takes context, own, container and component. */}}
{{- define "ullage.worker.container" -}}
{{- $own := .own -}}
name: {{ .container }}
image: {{ include "ullage.image" (dict "context" .context "image" .context.Values.image) }}
imagePullPolicy: {{ include "ullage.imagePullPolicy" (dict "image" .context.Values.image) }}
command:
  {{- include "ullage.worker.command" . | fromJsonArray | toYaml | nindent 2 }}
{{- if and $own.command $own.args }}
args:
  {{- toYaml $own.args | nindent 2 }}
{{- end }}
env:
  {{- $file := dict "name" "ULLAGE_HEARTBEAT_FILE" "value" (include "ullage.worker.heartbeatFile" .) }}
  {{- $set := empty $own.command | ternary list (list $file) }}
  {{- include "ullage.app.env" (merge (dict "role" "worker" "set" $set) .) | fromJsonArray | toYaml | nindent 2 }}
{{- with $own.extraEnvFrom }}
envFrom:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- if include "ullage.worker.hasHeartbeat" . }}
livenessProbe:
  {{- include "ullage-library.heartbeat.livenessProbe" (dict
    "file" (include "ullage.worker.heartbeatFile" .)
    "maxAgeSeconds" $own.liveness.maxAgeSeconds
    "periodSeconds" $own.liveness.periodSeconds) | nindent 2 }}
{{- end }}
{{- with $own.lifecycle }}
lifecycle:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $own.resources }}
resources:
  {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  {{- include "ullage.securityContext" (dict "context" .context "own" $own.securityContext) | nindent 2 }}
volumeMounts:
  {{- include "ullage.app.volumeMounts" . | nindent 2 }}
{{- end -}}
