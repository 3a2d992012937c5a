{{/* ullage.networkPolicy.pods is a podSelector for pods of this release; takes context and components, none for all. */}}
{{- define "ullage.networkPolicy.pods" -}}
podSelector:
  matchLabels:
    app.kubernetes.io/name: {{ include "ullage.name" .context }}
    app.kubernetes.io/instance: {{ .context.Release.Name }}
  {{- with .components }}
  matchExpressions:
    - key: app.kubernetes.io/component
      operator: In
      values: {{ toJson . }}
  {{- end }}
{{- end -}}

{{/* ullage.networkPolicy.metadata is a policy's, named by its concern; takes context and concern. */}}
{{- define "ullage.networkPolicy.metadata" -}}
{{- $name := include "ullage.componentName" (dict "context" .context "component" (printf "allow-%s" .concern)) -}}
{{- include "ullage.metadata" (dict "context" .context "component" "networkpolicy" "name" $name) -}}
{{- end -}}

{{/*
ullage.networkPolicy.server is an egress rule to a server: the evaluation pod on podPort, whatever the Service's port is, or
the peers in to, or any address, on the server's port. Takes context, kind, component (of the evaluation pod), podPort, to.
*/}}
{{- define "ullage.networkPolicy.server" -}}
{{- $peers := .to -}}
{{- $port := index .context.Values .kind "port" -}}
{{- if include "ullage.data.isEvaluation" . -}}
{{- $peers = list (include "ullage.networkPolicy.pods" (dict "context" .context "components" (list .component)) | fromYaml) -}}
{{- $port = .podPort -}}
{{- end -}}
{{- with $peers -}}
to:
  {{- toYaml . | nindent 2 }}
{{- end }}
ports:
  - port: {{ $port }}
    protocol: TCP
{{- end -}}
