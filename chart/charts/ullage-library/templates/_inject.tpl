{{/*
ullage-library.inject.initContainer copies the package into a volume, for images that do not have ullage.
Takes image (ullage's own); and imagePullPolicy, resources and securityContext.
*/}}
{{- define "ullage-library.inject.initContainer" -}}
name: ullage-inject
image: {{ required "ullage-library.inject.initContainer needs image, such as docker.io/ullage/ullage:0.1.0" .image }}
imagePullPolicy: {{ default "IfNotPresent" .imagePullPolicy }}
command: [ullage, inject-copy, /mnt/ullage]
{{- with .resources }}
resources:
  {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  {{- default (include "ullage-library.sidecar.securityContext" . | fromYaml) .securityContext | toYaml | nindent 2 }}
volumeMounts:
  # Not at /opt/ullage, where this image has its own.
  - name: ullage-inject
    mountPath: /mnt/ullage
{{- end -}}

{{/* ullage-library.inject.volume holds the copy. */}}
{{- define "ullage-library.inject.volume" -}}
name: ullage-inject
emptyDir:
  sizeLimit: 64Mi
{{- end -}}

{{/* ullage-library.inject.mount is writable, so that Python keeps its bytecode after the first start. */}}
{{- define "ullage-library.inject.mount" -}}
name: ullage-inject
mountPath: /opt/ullage
{{- end -}}

{{/*
ullage-library.inject.command starts a command with the package in sight, as a JSON list; takes command. The image needs
/bin/sh, and keeps its own PYTHONPATH.
*/}}
{{- define "ullage-library.inject.command" -}}
{{- concat (list "/opt/ullage/ullage-run") (required "ullage-library.inject.command needs command" .command) | toJson -}}
{{- end -}}

{{/*
ullage-library.inject.env is for a container that starts by its image's entry point, which the launcher cannot precede:
its environment with PYTHONPATH, as a JSON list. Takes env; and pythonPath, what the image itself has in PYTHONPATH,
because a pod's value replaces that.
*/}}
{{- define "ullage-library.inject.env" -}}
{{- $path := default "" .pythonPath -}}
{{- $env := list -}}
{{- range .env -}}
{{- if ne .name "PYTHONPATH" -}}
{{- $env = append $env . -}}
{{- else if .valueFrom -}}
{{- fail "ullage-library.inject.env: PYTHONPATH comes from elsewhere (valueFrom) and cannot be extended; give it as a value, or start the container by ullage-library.inject.command" -}}
{{- else -}}
{{- $path = .value -}}
{{- end -}}
{{- end -}}
{{- append $env (dict "name" "PYTHONPATH" "value" (list "/opt/ullage/site" $path | compact | join ":")) | toJson -}}
{{- end -}}
