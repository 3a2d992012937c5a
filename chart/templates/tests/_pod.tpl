{{/*
ullage.test.pod is a pod of `helm test`: a Python program of files/tests in the application's image. Takes context,
name, weight, arguments (strings), seconds (its deadline), and env, volumes and volumeMounts where it needs them.
*/}}
{{- define "ullage.test.pod" -}}
{{- $component := dict "context" .context "component" "test" -}}
{{- $hook := dict
  "helm.sh/hook" "test"
  "helm.sh/hook-weight" (toString .weight)
  "helm.sh/hook-delete-policy" "before-hook-creation" -}}
{{- $own := pick .context.Values.web "nodeSelector" "tolerations" "priorityClassName" "podSecurityContext" -}}
apiVersion: v1
kind: Pod
metadata:
  name: {{ include "ullage.componentName" (dict "context" .context "component" (printf "test-%s" .name)) }}
  namespace: {{ .context.Release.Namespace }}
  labels:
    {{- include "ullage.labels" $component | nindent 4 }}
  {{- include "ullage.annotations" (dict "context" .context "own" $hook) | nindent 2 }}
spec:
  restartPolicy: Never
  activeDeadlineSeconds: {{ .seconds }}
  {{- include "ullage.podSpec.common" (dict "context" .context "own" $own) | nindent 2 }}
  containers:
    - name: test
      image: {{ include "ullage.image" (dict "context" .context "image" .context.Values.image) }}
      imagePullPolicy: {{ include "ullage.imagePullPolicy" (dict "image" .context.Values.image) }}
      command: [python, -c]
      args:
        - | {{- .context.Files.Get (printf "files/tests/%s.py" .name) | nindent 10 }}
        {{- range .arguments }}
        - {{ quote . }}
        {{- end }}
      env:
        # The application's probe measures no test.
        - name: ULLAGE_ENABLED
          value: "0"
        {{- with .env }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      resources:
        {{- toYaml .context.Values.tests.resources | nindent 8 }}
      securityContext:
        {{- include "ullage.securityContext" (dict "context" .context "own" .context.Values.web.securityContext) | nindent 8 }}
      {{- with .volumeMounts }}
      volumeMounts:
        {{- toYaml . | nindent 8 }}
      {{- end }}
  {{- with .volumes }}
  volumes:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end -}}

{{/* ullage.test.metricsUrl is where the pods of a component serve metrics; takes context and component. */}}
{{- define "ullage.test.metricsUrl" -}}
{{- $values := .context.Values -}}
{{- $scheme := empty $values.exporter.webConfigSecret | ternary "http" $values.monitoring.podMonitor.scheme -}}
{{- $name := include "ullage.componentName" (dict "context" .context "component" (printf "%s-metrics" .component)) -}}
{{- printf "%s://%s:%d/metrics" $scheme $name (int $values.exporter.port) -}}
{{- end -}}

{{/* ullage.test.metricsComponents are those whose pods have a sidecar, as JSON. */}}
{{- define "ullage.test.metricsComponents" -}}
{{- $components := list -}}
{{- if and .Values.tests.enabled (include "ullage.isMeasured" .) -}}
{{- if .Values.web.enabled }}{{ $components = append $components "web" }}{{ end -}}
{{- if .Values.workers }}{{ $components = append $components "worker" }}{{ end -}}
{{- end -}}
{{- toJson $components -}}
{{- end -}}

{{/* ullage.test.metricsService is a headless Service, by which a test finds every pod of a component without asking the
Kubernetes API; takes context and component. */}}
{{- define "ullage.test.metricsService" -}}
{{- $component := dict "context" .context "component" .component -}}
{{- $name := include "ullage.componentName" (dict "context" .context "component" (printf "%s-metrics" .component)) -}}
apiVersion: v1
kind: Service
metadata:
  {{- include "ullage.metadata" (merge (dict "name" $name) $component) | nindent 2 }}
spec:
  type: ClusterIP
  clusterIP: None
  selector:
    {{- include "ullage.selectorLabels" $component | nindent 4 }}
  ports:
    - name: metrics
      port: {{ .context.Values.exporter.port }}
      targetPort: metrics
      protocol: TCP
{{- end -}}
