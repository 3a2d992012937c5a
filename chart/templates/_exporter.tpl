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
{{- $exporter := .Values.exporter -}}
{{- $context := include "ullage.securityContext" (dict "context" . "own" $exporter.securityContext) | fromYaml -}}
{{- $own := dict
  "image" (include "ullage.image" (dict "context" . "image" $exporter.image))
  "imagePullPolicy" (include "ullage.imagePullPolicy" (dict "image" $exporter.image))
  "securityContext" $context -}}
{{- include "ullage-library.sidecar" (merge $own $exporter) -}}
{{- end -}}

{{/* ullage.inject.initContainer brings the package into an image that does not have it; takes the root. */}}
{{- define "ullage.inject.initContainer" -}}
{{- $exporter := .Values.exporter -}}
{{- $context := include "ullage.securityContext" (dict "context" . "own" $exporter.securityContext) | fromYaml -}}
{{- include "ullage-library.inject.initContainer" (dict
  "image" (include "ullage.image" (dict "context" . "image" $exporter.image))
  "imagePullPolicy" (include "ullage.imagePullPolicy" (dict "image" $exporter.image))
  "resources" $exporter.resources
  "securityContext" $context) -}}
{{- end -}}
