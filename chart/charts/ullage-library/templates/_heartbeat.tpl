{{/*
ullage-library.heartbeat.livenessProbe restarts an RQ worker whose main loop is stuck; for `ullage worker` with
--heartbeat-file. Takes file; and maxAgeSeconds, periodSeconds, and command where it is not [ullage, worker].
*/}}
{{- define "ullage-library.heartbeat.livenessProbe" -}}
exec:
  command:
    {{- default (list "ullage" "worker") .command | toYaml | nindent 4 }}
    - --check-heartbeat
    - {{ required "ullage-library.heartbeat.livenessProbe needs file, such as /dev/shm/worker" .file }}
    - --max-age
    - {{ default 120 .maxAgeSeconds | int | quote }}
periodSeconds: {{ default 30 .periodSeconds | int }}
timeoutSeconds: 10
failureThreshold: 3
{{- end -}}
