{{/*
ullage-library.probe.env is the environment of an application's container, as a JSON list.
Takes directory, role, container; enabled (true); and settings: prePing, policy, policyOverrides,
leakThresholdSeconds, skipFrames, forkSafety, of which each may be missing.
*/}}
{{- define "ullage-library.probe.env" -}}
{{- $settings := default dict .settings -}}
{{- $env := list -}}
{{- if eq (toString .enabled) "false" -}}
{{- $env = append $env (dict "name" "ULLAGE_ENABLED" "value" "0") -}}
{{- else -}}
{{- $env = list
  (dict "name" "ULLAGE_DIR" "value" (default "/run/ullage" .directory))
  (dict "name" "ULLAGE_ROLE" "value" (required "ullage-library.probe.env needs role, such as web" .role))
  (dict "name" "ULLAGE_CONTAINER" "value" (required "ullage-library.probe.env needs container, its name" .container)) -}}
{{- range $variable, $key := dict
  "ULLAGE_FORK_SAFETY" "forkSafety"
  "ULLAGE_LEAK_THRESHOLD_SECONDS" "leakThresholdSeconds"
  "ULLAGE_POLICY" "policy"
  "ULLAGE_POLICY_OVERRIDES" "policyOverrides"
  "ULLAGE_PRE_PING" "prePing"
  "ULLAGE_SKIP_FRAMES" "skipFrames" -}}
{{- $value := get $settings $key -}}
{{- if kindIs "slice" $value }}{{- $value = join "," $value -}}{{- end -}}
{{- with kindIs "invalid" $value | ternary "" (toString $value) -}}
{{- $env = append $env (dict "name" $variable "value" .) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- toJson $env -}}
{{- end -}}
