{{/* ullage.name is the label app.kubernetes.io/name. */}}
{{- define "ullage.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/*
ullage.fullname is the prefix of every name: at most 40 characters, so that -<component> and what Kubernetes appends fit
into 63. A name that had to be changed gets a hash of the whole one, and stays unique.
*/}}
{{- define "ullage.fullname" -}}
{{- $name := include "ullage.name" . -}}
{{- $full := printf "%s-%s" .Release.Name $name -}}
{{- if .Values.fullnameOverride -}}
{{- $full = .Values.fullnameOverride -}}
{{- else if contains $name .Release.Name -}}
{{- $full = .Release.Name -}}
{{- end -}}
{{- /* A release may be called 2.app; a Service may not. */ -}}
{{- $safe := regexReplaceAll "^([0-9])" ($full | replace "." "-") "r${1}" -}}
{{- if or (ne $safe $full) (gt (len $safe) 40) -}}
{{- $safe = printf "%s-%s" ($safe | trunc 31 | trimSuffix "-") (sha256sum $full | trunc 8) -}}
{{- end -}}
{{- $safe -}}
{{- end -}}

{{/* ullage.componentName is <fullname>-<component>; takes context and component, such as web or worker-default. */}}
{{- define "ullage.componentName" -}}
{{- $name := printf "%s-%s" (include "ullage.fullname" .context) .component -}}
{{- if gt (len $name) 63 -}}
{{- $name = printf "%s-%s" ($name | trunc 54 | trimSuffix "-") (sha256sum $name | trunc 8) -}}
{{- end -}}
{{- $name -}}
{{- end -}}

{{/*
ullage.selectorLabels never change; takes context, component and, for component worker, worker. A release may be called
1e3, which YAML would read as a number.
*/}}
{{- define "ullage.selectorLabels" -}}
app.kubernetes.io/name: {{ include "ullage.name" .context | toYaml }}
app.kubernetes.io/instance: {{ .context.Release.Name | toYaml }}
app.kubernetes.io/component: {{ .component }}
{{- with .worker }}
ullage.dev/worker: {{ toYaml . }}
{{- end }}
{{- end -}}

{{/* ullage.version is the application image's tag, as a label may have it. */}}
{{- define "ullage.version" -}}
{{- $tag := default .Chart.AppVersion .Values.image.tag | toString -}}
{{- regexReplaceAll "[^A-Za-z0-9_.-]" $tag "_" | trunc 63 | trimAll "-_." -}}
{{- end -}}

{{/* ullage.labels are an object's, not a pod's; takes context, component, worker and ownLabels. */}}
{{- define "ullage.labels" -}}
{{- $own := dict
  "helm.sh/chart" (printf "%s-%s" .context.Chart.Name .context.Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-")
  "app.kubernetes.io/version" (include "ullage.version" .context)
  "app.kubernetes.io/managed-by" .context.Release.Service
  "app.kubernetes.io/part-of" (include "ullage.name" .context) -}}
{{- $selector := include "ullage.selectorLabels" . | fromYaml -}}
{{- merge $selector $own (deepCopy (default dict .ownLabels)) .context.Values.commonLabels | toYaml -}}
{{- end -}}

{{/* ullage.podLabels leave out what changes with the chart alone, and would restart pods; takes also own. */}}
{{- define "ullage.podLabels" -}}
{{- $version := dict "app.kubernetes.io/version" (include "ullage.version" .context) -}}
{{- $selector := include "ullage.selectorLabels" . | fromYaml -}}
{{- merge $selector $version (deepCopy (default dict .own)) .context.Values.commonLabels | toYaml -}}
{{- end -}}

{{/* ullage.annotations is the block `annotations:` or nothing; takes context and own. */}}
{{- define "ullage.annotations" -}}
{{- with merge (deepCopy (default dict .own)) .context.Values.commonAnnotations -}}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end -}}
{{- end -}}

{{/*
ullage.metadata is an object's name, namespace, labels and annotations; takes context, component, worker, own (annotations)
and ownLabels, and name where it is not the component's.
*/}}
{{- define "ullage.metadata" -}}
{{- $component := empty .worker | ternary .component (printf "%s-%s" .component (toString .worker)) -}}
name: {{ default (include "ullage.componentName" (dict "context" .context "component" $component)) .name }}
namespace: {{ .context.Release.Namespace | toYaml }}
labels:
  {{- include "ullage.labels" . | nindent 2 }}
{{- with include "ullage.annotations" . }}
{{ . }}
{{- end }}
{{- end -}}

{{/* ullage.image is the reference of an image; takes context and image. */}}
{{- define "ullage.image" -}}
{{- $registry := default .image.registry .context.Values.global.imageRegistry -}}
{{- $tag := toString (default "" .image.tag) -}}
{{- if not (or $tag .image.digest) -}}
{{- $tag = .context.Chart.AppVersion -}}
{{- end -}}
{{- with $registry }}{{ . }}/{{ end -}}
{{- .image.repository -}}
{{- with $tag }}:{{ . }}{{ end -}}
{{- with .image.digest }}@{{ . }}{{ end -}}
{{- end -}}

{{/* ullage.imagePullPolicy takes image. */}}
{{- define "ullage.imagePullPolicy" -}}
{{- default "IfNotPresent" .image.pullPolicy -}}
{{- end -}}

{{/* ullage.serviceAccountName is of web, workers and migrations. */}}
{{- define "ullage.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "ullage.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{/* ullage.observer.serviceAccountName is the observer's own, for its token, where the chart may make one. */}}
{{- define "ullage.observer.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- include "ullage.componentName" (dict "context" . "component" "observer") -}}
{{- else -}}
{{- include "ullage.serviceAccountName" . -}}
{{- end -}}
{{- end -}}

{{/* ullage.podSecurityContext is the chart's under the pod's own; takes context and own. */}}
{{- define "ullage.podSecurityContext" -}}
{{- mergeOverwrite (deepCopy .context.Values.podSecurityContext) (deepCopy (default dict .own)) | toYaml -}}
{{- end -}}

{{/* ullage.securityContext is the chart's under the container's own; takes context and own. */}}
{{- define "ullage.securityContext" -}}
{{- mergeOverwrite (deepCopy .context.Values.securityContext) (deepCopy (default dict .own)) | toYaml -}}
{{- end -}}

{{/*
ullage.podSpec.common is what every pod has beside its containers and volumes; takes context, own (the component's
values), and serviceAccountName and automount where they are not the application's.
*/}}
{{- define "ullage.podSpec.common" -}}
{{- $own := .own -}}
serviceAccountName: {{ default (include "ullage.serviceAccountName" .context) .serviceAccountName | toYaml }}
automountServiceAccountToken: {{ default false .automount }}
enableServiceLinks: false
{{- with .context.Values.global.imagePullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ toYaml . }}
  {{- end }}
{{- end }}
{{- with include "ullage.podSecurityContext" (dict "context" .context "own" $own.podSecurityContext) | fromYaml }}
securityContext:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- range $key := list "nodeSelector" "tolerations" "affinity" "priorityClassName" }}
{{- with index $own $key }}
{{ dict $key . | toYaml }}
{{- end }}
{{- end }}
{{- end -}}

{{/* ullage.workers are the entries of workers, each over workerDefaults, as JSON. */}}
{{- define "ullage.workers" -}}
{{- $entries := list -}}
{{- range .Values.workers -}}
{{- $entries = append $entries (mergeOverwrite (deepCopy $.Values.workerDefaults) (deepCopy .)) -}}
{{- end -}}
{{- toJson $entries -}}
{{- end -}}

{{/*
ullage.env is a container's environment without duplicate names, as JSON: server-side apply refuses duplicates. Takes
own and extra; extra wins, in own's place. A variable comes after those that its value refers to as $(NAME).
*/}}
{{- define "ullage.env" -}}
{{- $extra := dict -}}
{{- range .extra }}{{- $_ := set $extra .name . -}}{{- end -}}
{{- $merged := list -}}
{{- $seen := dict -}}
{{- range concat (default list .own) (default list .extra) -}}
{{- if not (hasKey $seen .name) -}}
{{- $merged = append $merged (default . (get $extra .name)) -}}
{{- $_ := set $seen .name true -}}
{{- end -}}
{{- end -}}
{{- if lt (len $merged) (add (len (default list .own)) (len (default list .extra)) | int) -}}
{{- $merged = include "ullage.env.ordered" $merged | fromJsonArray -}}
{{- end -}}
{{- toJson $merged -}}
{{- end -}}

{{/* ullage.env.ordered moves variables behind those that they refer to, and nothing else. */}}
{{- define "ullage.env.ordered" -}}
{{- $waiting := . -}}
{{- $ordered := list -}}
{{- range . -}}
{{- $next := dict -}}
{{- range $candidate := $waiting -}}
{{- if not $next -}}
{{- $refers := false -}}
{{- range $waiting -}}
{{- if and (ne .name $candidate.name) (contains (printf "$(%s)" .name) (toString (default "" $candidate.value))) -}}
{{- $refers = true -}}
{{- end -}}
{{- end -}}
{{- if not $refers }}{{- $next = $candidate -}}{{- end -}}
{{- end -}}
{{- end -}}
{{- $next = default (first $waiting) $next -}}
{{- $ordered = append $ordered $next -}}
{{- $waiting = without $waiting $next -}}
{{- end -}}
{{- toJson $ordered -}}
{{- end -}}

{{/* ullage.probe.env is the probe's settings, as JSON; takes context, role, container, and policy where it is set. */}}
{{- define "ullage.probe.env" -}}
{{- $ullage := .context.Values.ullage -}}
{{- include "ullage-library.probe.env" (dict
  "enabled" $ullage.enabled
  "directory" .context.Values.exporter.directory
  "role" .role
  "container" .container
  "settings" (mergeOverwrite (deepCopy $ullage) (empty .policy | ternary dict (dict "policy" .policy)))
) -}}
{{- end -}}
