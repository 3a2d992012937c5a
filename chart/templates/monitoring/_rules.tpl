{{/*
The rules are data in monitoring/rules/*.yaml, one group a file, read with .Files.Get: Helm does not look into them, so
Prometheus' own {{ $labels.x }} stands there as it is. What the chart fills in is written $selector, $threshold and the
like.
*/}}

{{/* ullage.rules.selector is the matchers that narrow every query, nothing for {}. */}}
{{- define "ullage.rules.selector" -}}
{{- $selector := .Values.monitoring.rules.selector -}}
{{- if eq $selector "" -}}
namespace="{{ .Release.Namespace }}",job="{{ .Release.Namespace }}/{{ include "ullage.fullname" . }}"
{{- else if ne $selector "{}" -}}
{{- $selector -}}
{{- end -}}
{{- end -}}

{{/* ullage.rules.bound is a bucket's bound as the exporter writes it in `le`: 60 is 60.0. */}}
{{- define "ullage.rules.bound" -}}
{{- $bound := toString . -}}
{{- contains "." $bound | ternary $bound (printf "%s.0" $bound) -}}
{{- end -}}

{{/* ullage.rules.fill puts values into a text; takes context, text and own (further names and their values). */}}
{{- define "ullage.rules.fill" -}}
{{- $text := .text -}}
{{- $objectives := .context.Values.monitoring.rules.objectives -}}
{{- $known := dict
  "checkoutWaitSeconds" (include "ullage.rules.bound" $objectives.checkoutWaitSeconds)
  "jobWaitSeconds" (include "ullage.rules.bound" $objectives.jobWaitSeconds) -}}
{{- range $name, $value := merge (deepCopy (default dict .own)) $known -}}
{{- $text = replace (printf "$%s" $name) (toString $value) $text -}}
{{- end -}}
{{- $selector := include "ullage.rules.selector" .context -}}
{{- if not $selector -}}
{{- $text = $text | replace ",$selector" "" | replace "{$selector}" "" -}}
{{- end -}}
{{- $text | replace "$selector" $selector | trim -}}
{{- end -}}

{{/*
ullage.rules.increase is the increase of a counter that is born at its first event, which increase() does not see: a
series that was not there 10 minutes ago counts as it is, where its exporter was watched all the time. The hour bridges
gaps, after which a series is not new. Takes increase (the series) and by.
*/}}
{{- define "ullage.rules.increase" -}}
sum by (cluster, namespace, job, {{ .by }}) (
  (
    last_over_time({{ .increase }}[10m])
    unless last_over_time({{ .increase }}[1h] offset 10m)
    and on (cluster, namespace, job, pod, instance) instance:ullage_exporter:watched10m{$selector}
  )
  or increase({{ .increase }}[10m])
)
{{- end -}}

{{/* ullage.rules.recording is a list of recording rules, one for each of its windows; takes context and rule. */}}
{{- define "ullage.rules.recording" -}}
{{- $context := .context -}}
{{- $rule := .rule -}}
{{- $expr := $rule.expr -}}
{{- if $rule.increase -}}
{{- $expr = include "ullage.rules.increase" $rule -}}
{{- end -}}
{{- $rules := list -}}
{{- range default (list "") $rule.windows -}}
{{- $own := dict "window" . -}}
{{- $rules = append $rules (dict
  "record" (include "ullage.rules.fill" (dict "context" $context "text" $rule.record "own" $own))
  "expr" (include "ullage.rules.fill" (dict "context" $context "text" $expr "own" $own))) -}}
{{- end -}}
{{- toYaml $rules -}}
{{- end -}}

{{/* ullage.rules.annotations are an alert's; takes context, rule and own (what is filled in). */}}
{{- define "ullage.rules.annotations" -}}
{{- $rules := .context.Values.monitoring.rules -}}
{{- $annotations := dict
  "summary" .rule.summary
  "description" (include "ullage.rules.fill" (dict "context" .context "text" .rule.description "own" .own)) -}}
{{- with $rules.runbookUrlPrefix -}}
{{- $_ := set $annotations "runbook_url" (printf "%s%s.md" . $.rule.alert) -}}
{{- end -}}
{{- with $rules.dashboardUrlPrefix -}}
{{- $variables := "var-namespace={{ $labels.namespace | urlquery }}&var-job={{ $labels.job | urlquery }}" -}}
{{- $url := printf "%s/d/ullage-%s?%s" (trimSuffix "/" .) $.rule.dashboard $variables -}}
{{- $_ := set $annotations "dashboard_url" $url -}}
{{- end -}}
{{- toYaml $annotations -}}
{{- end -}}

{{/* ullage.rules.alert is a list of one alert, or of none when it is off; takes context and rule. */}}
{{- define "ullage.rules.alert" -}}
{{- $rules := .context.Values.monitoring.rules -}}
{{- $set := default dict (index $rules.alerts .rule.alert) -}}
{{- $isMissing := and (eq (default "" .rule.requires) "observer") (not .context.Values.observer.enabled) -}}
{{- if and (hasKey $set "threshold") (not (contains "$threshold" .rule.expr)) -}}
{{- $problem := "monitoring.rules.alerts.%s.threshold is %v, but this alert compares with no number: remove it" -}}
{{- fail (printf $problem .rule.alert $set.threshold) -}}
{{- end -}}
{{- if and $set.enabled (not $isMissing) -}}
{{- $own := dict "threshold" (default 0 $set.threshold) -}}
{{- $alert := dict
  "alert" .rule.alert
  "expr" (include "ullage.rules.fill" (dict "context" .context "text" .rule.expr "own" $own))
  "for" $set.for
  "labels" (merge (deepCopy (default dict $set.labels)) (dict "severity" $set.severity) $rules.alertLabels)
  "annotations" (include "ullage.rules.annotations" (dict "context" .context "rule" .rule "own" $own) | fromYaml) -}}
{{- with $set.keepFiringFor -}}
{{- $_ := set $alert "keep_firing_for" . -}}
{{- end -}}
{{- toYaml (list $alert) -}}
{{- end -}}
{{- end -}}

{{/* ullage.rules.groups is the list of groups; takes the root context. */}}
{{- define "ullage.rules.groups" -}}
{{- $groups := list -}}
{{- range $path, $_ := .Files.Glob "monitoring/rules/*.yaml" -}}
{{- $source := $.Files.Get $path | fromYaml -}}
{{- with $source.Error -}}
{{- fail (printf "%s is no YAML: %s" $path .) -}}
{{- end -}}
{{- $rules := list -}}
{{- range default list $source.record -}}
{{- $rules = concat $rules (include "ullage.rules.recording" (dict "context" $ "rule" .) | fromYamlArray) -}}
{{- end -}}
{{- range default list $source.alerts -}}
{{- $rules = concat $rules (include "ullage.rules.alert" (dict "context" $ "rule" .) | fromYamlArray) -}}
{{- end -}}
{{- with $rules -}}
{{- $groups = append $groups (dict "name" (printf "ullage-%s" (base $path | trimSuffix ".yaml")) "rules" .) -}}
{{- end -}}
{{- end -}}
{{- toYaml $groups -}}
{{- end -}}
