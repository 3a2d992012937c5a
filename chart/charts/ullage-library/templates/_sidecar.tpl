{{/*
ullage-library.sidecar is the native sidecar: an entry of initContainers, before those that wait for anything.
Takes image (a reference); and imagePullPolicy, directory, port, listenAddress, logLevel, webConfigSecret, resources,
securityContext and extraEnv, of which each may be missing.
*/}}
{{- define "ullage-library.sidecar" -}}
name: ullage
image: {{ required "ullage-library.sidecar needs image, such as docker.io/ullage/ullage:0.1.0" .image }}
imagePullPolicy: {{ default "IfNotPresent" .imagePullPolicy }}
command: [ullage, serve]
{{- /* What makes it a sidecar: it starts before the application, and ends after it. */}}
restartPolicy: Always
env:
  {{- include "ullage-library.sidecar.env" . | fromJsonArray | toYaml | nindent 2 }}
ports:
  - name: metrics
    containerPort: {{ default 9145 .port | int }}
    protocol: TCP
{{ include "ullage-library.listen.probes" . }}
{{- with .resources }}
resources:
  {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  {{- default (include "ullage-library.sidecar.securityContext" . | fromYaml) .securityContext | toYaml | nindent 2 }}
volumeMounts:
  - {{ include "ullage-library.segments.mount" (dict "directory" .directory "readOnly" true) | nindent 4 | trim }}
  {{- if .webConfigSecret }}
  - {{ include "ullage-library.webConfig.mount" . | nindent 4 | trim }}
  {{- end }}
{{- end -}}

{{/* ullage-library.sidecar.env is the sidecar's environment as a JSON list; takes what the sidecar takes. */}}
{{- define "ullage-library.sidecar.env" -}}
{{- $extra := dict -}}
{{- range .extraEnv }}{{- $_ := set $extra .name . -}}{{- end -}}
{{- $env := list -}}
{{- $own := list (dict "name" "ULLAGE_DIR" "value" (default "/run/ullage" .directory)) -}}
{{- range concat $own (include "ullage-library.listen.env" . | fromJsonArray) (default list .extraEnv) -}}
{{- $env = append $env (default . (get $extra .name)) -}}
{{- end -}}
{{- uniq $env | toJson -}}
{{- end -}}

{{/*
ullage-library.listen.env is what `ullage serve` and `ullage observe` have in common, as a JSON list; takes port,
listenAddress, logLevel and webConfigSecret. One arena of malloc instead of eight a processor saves megabytes.
*/}}
{{- define "ullage-library.listen.env" -}}
{{- $env := list
  (dict "name" "ULLAGE_PORT" "value" (default 9145 .port | int | toString))
  (dict "name" "ULLAGE_LISTEN_ADDRESS" "value" (default "0.0.0.0" .listenAddress))
  (dict "name" "ULLAGE_LOG_LEVEL" "value" (default "info" .logLevel))
  (dict "name" "MALLOC_ARENA_MAX" "value" "1") -}}
{{- if .webConfigSecret -}}
{{- $env = append $env (dict "name" "ULLAGE_WEB_CONFIG_FILE" "value" "/etc/ullage/web/web-config.yaml") -}}
{{- end -}}
{{- toJson $env -}}
{{- end -}}

{{/*
ullage-library.listen.probes are of `ullage serve` and `ullage observe`; takes webConfigSecret. There is no readiness
probe: a sidecar that is away must not take its application out of service.
*/}}
{{- define "ullage-library.listen.probes" -}}
startupProbe:
  {{- include "ullage-library.listen.check" . | nindent 2 }}
  periodSeconds: 1
  timeoutSeconds: 2
  failureThreshold: 60
livenessProbe:
  {{- include "ullage-library.listen.check" . | nindent 2 }}
  periodSeconds: 30
  timeoutSeconds: 5
  failureThreshold: 3
{{- end -}}

{{/* ullage-library.listen.check is TCP where a web configuration may ask for a certificate or a password. */}}
{{- define "ullage-library.listen.check" -}}
{{- if .webConfigSecret -}}
tcpSocket:
  port: metrics
{{- else -}}
httpGet:
  path: /healthz
  port: metrics
{{- end -}}
{{- end -}}

{{/* ullage-library.sidecar.securityContext is what Pod Security `restricted` asks for, and a read-only root. */}}
{{- define "ullage-library.sidecar.securityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
runAsNonRoot: true
capabilities:
  drop: [ALL]
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{/* ullage-library.webConfig.volume goes with webConfigSecret; takes webConfigSecret. */}}
{{- define "ullage-library.webConfig.volume" -}}
name: ullage-web-config
secret:
  secretName: {{ .webConfigSecret }}
{{- end -}}

{{/* ullage-library.webConfig.mount is for the sidecar. */}}
{{- define "ullage-library.webConfig.mount" -}}
name: ullage-web-config
mountPath: /etc/ullage/web
readOnly: true
{{- end -}}
