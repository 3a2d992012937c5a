{{/* ullage.web.command is Gunicorn's command line, or the user's, as JSON; takes the root. */}}
{{- define "ullage.web.command" -}}
{{- $web := .Values.web -}}
{{- $gunicorn := $web.gunicorn -}}
{{- $address := contains ":" .Values.exporter.listenAddress | ternary "[::]" "0.0.0.0" -}}
{{- $command := list "gunicorn"
  "--bind" (printf "%s:%d" $address (int $web.port))
  "--workers" (int $gunicorn.workers | toString)
  "--threads" (int $gunicorn.threads | toString)
  "--worker-class" $gunicorn.workerClass
  "--worker-tmp-dir" "/dev/shm"
  "--timeout" (int $gunicorn.timeoutSeconds | toString)
  "--graceful-timeout" (int $gunicorn.gracefulTimeoutSeconds | toString)
  "--keep-alive" (int $gunicorn.keepAliveSeconds | toString)
  "--forwarded-allow-ips" (include "ullage.proxy.forwardedAllowIPs" .) -}}
{{- if int $gunicorn.maxRequests -}}
{{- $command = concat $command (list
  "--max-requests" (int $gunicorn.maxRequests | toString)
  "--max-requests-jitter" (int $gunicorn.maxRequestsJitter | toString)) -}}
{{- end -}}
{{- if $gunicorn.accessLog -}}
{{- $command = concat $command (list "--access-logfile" "-") -}}
{{- end -}}
{{- /* A read-only root has no room for the socket. An image of one's own may have a Gunicorn that does not know it. */ -}}
{{- if not $web.inject.enabled -}}
{{- $command = append $command "--no-control-socket" -}}
{{- end -}}
{{- /* An image without ullage, and no injection: nothing but the application itself can be served. */ -}}
{{- $isThere := or .Values.ullage.enabled (not $web.inject.enabled) -}}
{{- concat $command $gunicorn.extraArgs (list ($isThere | ternary "ullage.wsgi:app" $web.app)) | toJson -}}
{{- end -}}

{{/* ullage.web.env is what the entry and its measurements need, as JSON; takes the root. */}}
{{- define "ullage.web.env" -}}
{{- $probes := .Values.web.probes -}}
{{- $paths := list -}}
{{- range list $probes.livenessPath $probes.readinessPath .Values.tests.path -}}
{{- $paths = append $paths (regexReplaceAll "[?#].*" . "") -}}
{{- end -}}
{{- concat
  (list
    (dict "name" "ULLAGE_APP" "value" .Values.web.app)
    (dict "name" "ULLAGE_PROBE_PATHS" "value" (uniq $paths | join ",")))
  (include "ullage.proxy.env" . | fromJsonArray) | toJson -}}
{{- end -}}

{{/*
ullage.web.lifecycle is the user's, and a pause before SIGTERM in which proxies learn that the pod is going. The action
`sleep` is on from 1.30 on; before, the image must have the program.
*/}}
{{- define "ullage.web.lifecycle" -}}
{{- $seconds := int .Values.web.preStopSeconds -}}
{{- $pause := dict "sleep" (dict "seconds" $seconds) -}}
{{- if semverCompare "<1.30.0-0" .Capabilities.KubeVersion.Version -}}
{{- $pause = dict "exec" (dict "command" (list "sleep" (toString $seconds))) -}}
{{- end -}}
{{- $lifecycle := deepCopy .Values.web.lifecycle -}}
{{- if and $seconds (not $lifecycle.preStop) -}}
{{- $_ := set $lifecycle "preStop" $pause -}}
{{- end -}}
{{- with $lifecycle -}}
lifecycle:
  {{- toYaml . | nindent 2 }}
{{- end -}}
{{- end -}}

{{/* ullage.web.check is the request of a probe; takes context and path. */}}
{{- define "ullage.web.check" -}}
httpGet:
  path: {{ toYaml .path }}
  port: http
  {{- with .context.Values.web.probes.host }}
  httpHeaders:
    - name: Host
      value: {{ toYaml . }}
  {{- end }}
timeoutSeconds: {{ .context.Values.web.probes.timeoutSeconds }}
{{- end -}}
