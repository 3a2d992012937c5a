{{/* What web and workers have in common. `own` is web's values, or an entry of ullage.workers. */}}

{{/*
ullage.app.env is the environment of a container, as JSON; takes context, own, role, container, and set: variables of
this container alone.
*/}}
{{- define "ullage.app.env" -}}
{{- $probe := include "ullage.probe.env" (dict
  "context" .context "role" .role "container" .container "policy" .own.policy) | fromJsonArray -}}
{{- $database := include "ullage.database.env" (dict "context" .context "pool" .own.pool) | fromJsonArray -}}
{{- $redis := include "ullage.redis.env" (dict "context" .context) | fromJsonArray -}}
{{- $faults := .context.Values.app.faults | ternary (list (dict "name" "APP_FAULTS" "value" "1")) list -}}
{{- $own := concat $database $redis $probe $faults (default list .set) -}}
{{- include "ullage.env" (dict "own" $own "extra" .own.extraEnv) -}}
{{- end -}}

{{/*
ullage.app.command puts the launcher before a command where the package is injected, as JSON; takes context, own and
command.
*/}}
{{- define "ullage.app.command" -}}
{{- if include "ullage.isInjected" . -}}
{{- include "ullage-library.inject.command" (dict "command" .command) -}}
{{- else -}}
{{- toJson .command -}}
{{- end -}}
{{- end -}}

{{/* ullage.app.volumes are the pod's, as YAML; takes context and own. */}}
{{- define "ullage.app.volumes" -}}
{{- $values := .context.Values -}}
{{- $volumes := list (dict "name" "tmp" "emptyDir" (dict)) -}}
{{- if $values.ullage.enabled -}}
{{- $volumes = append $volumes
  (include "ullage-library.segments.volume" (dict "sizeLimit" $values.exporter.directorySizeLimit) | fromYaml) -}}
{{- end -}}
{{- if and (include "ullage.isMeasured" .context) $values.exporter.webConfigSecret -}}
{{- $volumes = append $volumes (include "ullage-library.webConfig.volume" $values.exporter | fromYaml) -}}
{{- end -}}
{{- if include "ullage.isInjected" . -}}
{{- $volumes = append $volumes (include "ullage-library.inject.volume" dict | fromYaml) -}}
{{- end -}}
{{- $data := include "ullage.data.volumes" .context | fromJsonArray -}}
{{- include "ullage.env" (dict "own" (concat $volumes $data) "extra" .own.extraVolumes) | fromJsonArray | toYaml -}}
{{- end -}}

{{/* ullage.app.volumeMounts are the application's containers', as YAML; takes context and own. */}}
{{- define "ullage.app.volumeMounts" -}}
{{- $mounts := list (dict "name" "tmp" "mountPath" "/tmp") -}}
{{- if .context.Values.ullage.enabled -}}
{{- $mounts = append $mounts
  (include "ullage-library.segments.mount" (dict "directory" .context.Values.exporter.directory) | fromYaml) -}}
{{- end -}}
{{- if include "ullage.isInjected" . -}}
{{- $mounts = append $mounts (include "ullage-library.inject.mount" dict | fromYaml) -}}
{{- end -}}
{{- $data := include "ullage.data.volumeMounts" .context | fromJsonArray -}}
{{- concat $mounts $data (default list .own.extraVolumeMounts) | toYaml -}}
{{- end -}}

{{/*
ullage.app.initContainers are, in order: the sidecar, which thus ends last; the package for injection; the user's, such
as a proxy of the database; and the wait for the schema, which may need that proxy. Takes context, component and own.
*/}}
{{- define "ullage.app.initContainers" -}}
{{- $isMeasured := include "ullage.isMeasured" .context -}}
{{- $isInjected := include "ullage.isInjected" . -}}
{{- $others := concat .own.extraInitContainers (include "ullage.waitForSchema.initContainer" . | fromJsonArray) -}}
{{- if or $isMeasured $isInjected $others -}}
initContainers:
{{- if $isMeasured }}
  - {{ include "ullage.sidecar" .context | nindent 4 | trim }}
{{- end }}
{{- if $isInjected }}
  - {{ include "ullage.inject.initContainer" .context | nindent 4 | trim }}
{{- end }}
{{- with $others }}
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}
{{- end -}}

{{/* ullage.app.podMetadata is the labels and annotations of a pod; takes context, component, worker and own. */}}
{{- define "ullage.app.podMetadata" -}}
labels:
  {{- include "ullage.podLabels" (set (omit . "own") "own" .own.podLabels) | nindent 2 }}
{{- $annotations := dict "kubectl.kubernetes.io/default-container" .component -}}
{{- with include "ullage.data.checksum" .context -}}
{{- $_ := set $annotations "checksum/data" . -}}
{{- end -}}
{{- if include "ullage.isMeasured" .context -}}
{{- $annotations = merge $annotations (include "ullage.scrapeAnnotations" .context | fromYaml) -}}
{{- end }}
annotations:
  {{- merge (deepCopy .own.podAnnotations) $annotations | toYaml | nindent 2 }}
{{- end -}}

{{/* ullage.scrapeAnnotations are for a Prometheus without the operator, or nothing; takes the root. */}}
{{- define "ullage.scrapeAnnotations" -}}
{{- if .Values.monitoring.scrapeAnnotations.enabled -}}
{{- include "ullage-library.scrapeAnnotations" (dict
  "port" .Values.exporter.port
  "scheme" (empty .Values.exporter.webConfigSecret | ternary "http" .Values.monitoring.podMonitor.scheme)) -}}
{{- end -}}
{{- end -}}

{{/*
ullage.topologySpread is the block of constraints, the user's or over nodes and zones; takes context, component, worker
and own. Each revision spreads by itself, or a rolling update would leave the new pods where room was.
*/}}
{{- define "ullage.topologySpread" -}}
{{- $selector := dict "matchLabels" (include "ullage.selectorLabels" . | fromYaml) -}}
{{- $default := list -}}
{{- range list "kubernetes.io/hostname" "topology.kubernetes.io/zone" -}}
{{- $default = append $default (dict "topologyKey" . "maxSkew" 1 "whenUnsatisfiable" "ScheduleAnyway"
  "matchLabelKeys" (list "pod-template-hash")) -}}
{{- end -}}
topologySpreadConstraints:
{{- range default $default .own.topologySpreadConstraints }}
  - {{ hasKey . "labelSelector" | ternary . (set (deepCopy .) "labelSelector" $selector) | toYaml | nindent 4 | trim }}
{{- end }}
{{- end -}}

{{/* ullage.progressDeadlineSeconds leaves a rollout the time that its migration may take; takes the root. */}}
{{- define "ullage.progressDeadlineSeconds" -}}
{{- add 600 (.Values.migrations.enabled | ternary (int .Values.migrations.activeDeadlineSeconds) 0) -}}
{{- end -}}

{{/* ullage.rollingUpdate is the strategy; takes own. */}}
{{- define "ullage.rollingUpdate" -}}
type: RollingUpdate
rollingUpdate:
  maxSurge: {{ .own.strategy.maxSurge }}
  maxUnavailable: {{ .own.strategy.maxUnavailable }}
{{- end -}}

{{/*
ullage.cpuMetric is an HPA's metric of one container: a sidecar or an extra container without a request cannot spoil
it. Takes container and autoscaling.
*/}}
{{- define "ullage.cpuMetric" -}}
- type: ContainerResource
  containerResource:
    name: cpu
    container: {{ .container }}
    target:
      type: Utilization
      averageUtilization: {{ .autoscaling.targetCPUUtilizationPercentage }}
{{- end -}}
