{{/* ullage.httpRoute.metadata is a route's, with its own labels and annotations; takes context and component. */}}
{{- define "ullage.httpRoute.metadata" -}}
{{- $own := .context.Values.httpRoute -}}
{{- $metadata := include "ullage.metadata" (dict "context" .context "component" .component "own" $own.annotations) | fromYaml -}}
{{- $_ := set $metadata "labels" (merge $metadata.labels (deepCopy $own.labels)) -}}
{{- toYaml $metadata -}}
{{- end -}}
