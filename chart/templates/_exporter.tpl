{{/* ullage.isMeasured is non-empty when the pods of web and workers have a sidecar. */}}
{{- define "ullage.isMeasured" -}}
{{- if and .Values.exporter.enabled .Values.ullage.enabled -}}true{{- end -}}
{{- end -}}

{{/* ullage.isInjected is non-empty when the package comes by an init container; takes context and own. */}}
{{- define "ullage.isInjected" -}}
{{- if and .own.inject.enabled .context.Values.ullage.enabled -}}true{{- end -}}
{{- end -}}

{{/* ullage.sidecar is the init container of web and workers; takes the root. */}}
{{- define "ullage.sidecar" -}}
{{- $own := dict
  "image" (include "ullage.image" (dict "context" . "image" .Values.exporter.image))
  "imagePullPolicy" (include "ullage.imagePullPolicy" (dict "image" .Values.exporter.image))
  "securityContext" (include "ullage.securityContext" (dict "context" . "own" .Values.exporter.securityContext) | fromYaml) -}}
{{- include "ullage-library.sidecar" (merge $own .Values.exporter) -}}
{{- end -}}

{{/* ullage.inject.initContainer brings the package into an image that does not have it; takes the root. */}}
{{- define "ullage.inject.initContainer" -}}
{{- include "ullage-library.inject.initContainer" (dict
  "image" (include "ullage.image" (dict "context" . "image" .Values.exporter.image))
  "imagePullPolicy" (include "ullage.imagePullPolicy" (dict "image" .Values.exporter.image))
  "resources" .Values.exporter.resources
  "securityContext" (include "ullage.securityContext" (dict "context" . "own" .Values.exporter.securityContext) | fromYaml)
) -}}
{{- end -}}
