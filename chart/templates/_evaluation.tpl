{{/* ullage.evaluation.annotations says on each object what it is not for. */}}
{{- define "ullage.evaluation.annotations" -}}
ullage.dev/not-for-production: One pod without a backup, for trying the chart out; evaluation.enabled made it.
{{- end -}}

{{/* ullage.evaluation.metadata is the metadata of an evaluation server's object; takes context, component and name. */}}
{{- define "ullage.evaluation.metadata" -}}
{{- $own := include "ullage.evaluation.annotations" . | fromYaml -}}
name: {{ default (include "ullage.componentName" .) .name }}
namespace: {{ .context.Release.Namespace }}
labels:
  {{- include "ullage.labels" . | nindent 2 }}
  {{- include "ullage.evaluation.label" . | nindent 2 }}
{{ include "ullage.annotations" (dict "context" .context "own" $own) }}
{{- end -}}

{{/* ullage.evaluation.label marks objects and pods. */}}
{{- define "ullage.evaluation.label" -}}
ullage.dev/not-for-production: "true"
{{- end -}}

{{/*
ullage.evaluation.podMetadata has nothing that changes with the application's version: a new pod has lost its data, unless
there is a claim. Takes context, component and kind, whose password a server reads at its first start alone.
*/}}
{{- define "ullage.evaluation.podMetadata" -}}
labels:
  {{- merge (include "ullage.selectorLabels" . | fromYaml) .context.Values.commonLabels | toYaml | nindent 2 }}
  {{- include "ullage.evaluation.label" . | nindent 2 }}
annotations:
  {{- include "ullage.evaluation.annotations" . | nindent 2 }}
  checksum/password: {{ include "ullage.data.password" . | sha256sum }}
{{- end -}}

{{/* ullage.evaluation.pod is the head of a pod's spec: both images run as user 999. */}}
{{- define "ullage.evaluation.pod" -}}
{{- $user := dict "runAsUser" 999 "runAsGroup" 999 "fsGroup" 999 "fsGroupChangePolicy" "OnRootMismatch" -}}
{{- include "ullage.podSpec.common" (dict "context" .context "own" (dict "podSecurityContext" $user)) -}}
{{- end -}}

{{/* ullage.evaluation.storage is the volume for the data; takes context, component and storage. */}}
{{- define "ullage.evaluation.storage" -}}
{{- if .storage -}}
persistentVolumeClaim:
  claimName: {{ include "ullage.componentName" . }}
{{- else -}}
emptyDir: {}
{{- end -}}
{{- end -}}

{{/* ullage.evaluation.claim is a PersistentVolumeClaim; takes context, component and storage. */}}
{{- define "ullage.evaluation.claim" -}}
apiVersion: v1
kind: PersistentVolumeClaim
metadata:
  {{- include "ullage.evaluation.metadata" . | nindent 2 }}
spec:
  accessModes: [ReadWriteOnce]
  resources:
    requests:
      storage: {{ .storage }}
{{- end -}}

{{/* ullage.evaluation.service leads to the one pod; takes context, component, port and targetPort. */}}
{{- define "ullage.evaluation.service" -}}
apiVersion: v1
kind: Service
metadata:
  {{- include "ullage.evaluation.metadata" . | nindent 2 }}
spec:
  type: ClusterIP
  selector:
    {{- include "ullage.selectorLabels" . | nindent 4 }}
  ports:
    - name: {{ .targetPort }}
      port: {{ int .port }}
      targetPort: {{ .targetPort }}
{{- end -}}

{{/* ullage.evaluation.valkey.quote makes one word of Valkey's configuration. */}}
{{- define "ullage.evaluation.valkey.quote" -}}
"{{ . | replace "\\" "\\\\" | replace "\"" "\\\"" | replace "\n" "\\n" }}"
{{- end -}}

{{/* ullage.evaluation.valkey.conf has the password, which no argument may have. */}}
{{- define "ullage.evaluation.valkey.conf" -}}
{{- $password := include "ullage.data.password" (dict "context" . "kind" "redis") -}}
{{- if .Values.redis.user }}
user default off
user {{ include "ullage.evaluation.valkey.quote" .Values.redis.user }} on {{ include "ullage.evaluation.valkey.quote" (printf ">%s" $password) }} ~* &* +@all
{{- else }}
requirepass {{ include "ullage.evaluation.valkey.quote" $password }}
{{- end }}
{{ end -}}
