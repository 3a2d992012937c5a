{{/*
ullage.waitForDatabase.initContainer waits until the database accepts connections, as a JSON list of one or, without a
database, no container; takes context. It needs no shell, no client and no password.
*/}}
{{- define "ullage.waitForDatabase.initContainer" -}}
{{- $values := .context.Values -}}
{{- $containers := list -}}
{{- if $values.database.enabled -}}
{{- $containers = append $containers (dict
  "name" "wait-for-database"
  "image" (include "ullage.image" (dict "context" .context "image" $values.exporter.image))
  "imagePullPolicy" (include "ullage.imagePullPolicy" (dict "image" $values.exporter.image))
  "command" (list "python" "-c" (.context.Files.Get "files/wait_for_database.py"))
  "env" (include "ullage.waitForDatabase.env" . | fromJsonArray)
  "resources" $values.migrations.resources
  "securityContext" (include "ullage.securityContext" (dict "context" .context) | fromYaml)) -}}
{{- end -}}
{{- toJson $containers -}}
{{- end -}}

{{/* ullage.waitForDatabase.env says which host to wait for, as JSON; takes context. */}}
{{- define "ullage.waitForDatabase.env" -}}
{{- $database := .context.Values.database -}}
{{- $existing := $database.existingSecret -}}
{{- $arguments := dict "context" .context "kind" "database" -}}
{{- /* A third of the Job's deadline: what waits in vain is tried again, and its reason is in the log. */ -}}
{{- $seconds := max 10 (div (int .context.Values.migrations.activeDeadlineSeconds) 3) | toString -}}
{{- $env := list (dict "name" "WAIT_SECONDS" "value" $seconds) -}}
{{- if eq (include "ullage.data.source" $arguments) "url" -}}
{{- $key := dict "name" "WAIT_URL" "secret" $existing.name "key" $existing.urlKey -}}
{{- $env = append $env (include "ullage.secretEnv" $key | fromJson) -}}
{{- else -}}
{{- if and $existing.name $existing.hostKey -}}
{{- $key := dict "name" "WAIT_HOST" "secret" $existing.name "key" $existing.hostKey -}}
{{- $env = append $env (include "ullage.secretEnv" $key | fromJson) -}}
{{- else -}}
{{- $env = append $env (dict "name" "WAIT_HOST" "value" (include "ullage.data.host" $arguments)) -}}
{{- end -}}
{{- $env = append $env (dict "name" "WAIT_PORT" "value" (int $database.port | toString)) -}}
{{- end -}}
{{- toJson $env -}}
{{- end -}}

{{/* ullage.migrations.env is the environment of what runs the migrations' code, as JSON; takes context and extra. */}}
{{- define "ullage.migrations.env" -}}
{{- $pool := dict "size" 1 "maxOverflow" 0 "timeoutSeconds" 10 -}}
{{- $database := include "ullage.database.env" (dict "context" .context "pool" $pool) | fromJsonArray -}}
{{- $redis := include "ullage.redis.env" (dict "context" .context) | fromJsonArray -}}
{{- /* No probe: no sidecar reads it here. */ -}}
{{- $own := concat $database $redis (list (dict "name" "ULLAGE_ENABLED" "value" "0")) -}}
{{- include "ullage.env" (dict "own" $own "extra" .extra) -}}
{{- end -}}

{{/*
ullage.waitForSchema.initContainer waits for the schema of the code in the image, as a JSON list of one or no container.
Takes context and own, the component's values, whose extraEnv, extraEnvFrom and extraVolumeMounts the code may need. The
pod has a volume tmp.
*/}}
{{- define "ullage.waitForSchema.initContainer" -}}
{{- $values := .context.Values -}}
{{- $own := default dict .own -}}
{{- $containers := list -}}
{{- if and $values.migrations.enabled $values.migrations.waitCommand -}}
{{- $container := dict
  "name" "wait-for-schema"
  "image" (include "ullage.image" (dict "context" .context "image" $values.image))
  "imagePullPolicy" (include "ullage.imagePullPolicy" (dict "image" $values.image))
  "command" $values.migrations.waitCommand
  "env" (include "ullage.migrations.env" (dict "context" .context "extra" $own.extraEnv) | fromJsonArray)
  "resources" $values.migrations.resources
  "securityContext" (include "ullage.securityContext" (dict "context" .context "own" $own.securityContext) | fromYaml)
  "volumeMounts" (concat
    (list (dict "name" "tmp" "mountPath" "/tmp"))
    (include "ullage.data.volumeMounts" .context | fromJsonArray)
    (default list $own.extraVolumeMounts)) -}}
{{- with $own.extraEnvFrom }}{{ $_ := set $container "envFrom" . }}{{ end -}}
{{- $containers = append $containers $container -}}
{{- end -}}
{{- toJson $containers -}}
{{- end -}}
