{{/* ullage-library.segments.volume is the memory in which the probe and the sidecar meet; takes sizeLimit. */}}
{{- define "ullage-library.segments.volume" -}}
name: ullage
emptyDir:
  medium: Memory
  sizeLimit: {{ default "64Mi" .sizeLimit }}
{{- end -}}

{{/* ullage-library.segments.mount is for the application's containers; takes directory, and readOnly. */}}
{{- define "ullage-library.segments.mount" -}}
name: ullage
mountPath: {{ default "/run/ullage" .directory }}
{{- if .readOnly }}
readOnly: true
{{- end }}
{{- end -}}
