{{/* ullage.database.url is the whole URL; with single fields it refers to variables. */}}
{{- define "ullage.database.url" -}}
{{- $database := .Values.database -}}
{{- $authority := include "ullage.data.authority" (dict "context" . "kind" "database") -}}
{{- $database.dialect }}://{{ $authority }}/{{ include "ullage.urlEncode" $database.name }}{{ include "ullage.database.query" . -}}
{{- end -}}

{{/* ullage.database.query is the URL's ?..., with what the driver needs for TLS. */}}
{{- define "ullage.database.query" -}}
{{- include "ullage.queryString" (merge (deepCopy .Values.database.query) (include "ullage.database.tlsQuery" . | fromJson)) -}}
{{- end -}}

{{/*
ullage.database.tlsQuery are the options that make the driver verify the certificate and the host name, as JSON. Drivers:
  PyMySQL       verifies both if, and only if, it is given a CA
  mysqlclient   verifies the name in mode VERIFY_IDENTITY
  psycopg       verifies the name in mode verify-full
*/}}
{{- define "ullage.database.tlsQuery" -}}
{{- $database := .Values.database -}}
{{- $query := dict -}}
{{- if $database.tls.enabled -}}
{{- $files := include "ullage.data.tlsFiles" (dict "context" . "kind" "database") | fromJson -}}
{{- $ca := default $database.tls.caFile $files.ca -}}
{{- if regexMatch "^postgresql(\\+psycopg2?)?$" $database.dialect -}}
{{- $query = dict "sslmode" "verify-full" "sslrootcert" $ca "sslcert" $files.cert "sslkey" $files.key -}}
{{- else if regexMatch "^(mysql|mariadb)(\\+pymysql|\\+mysqldb)?$" $database.dialect -}}
{{- $query = dict "ssl_ca" $ca "ssl_cert" $files.cert "ssl_key" $files.key -}}
{{- if not (contains "+pymysql" $database.dialect) }}{{ $_ := set $query "ssl_mode" "VERIFY_IDENTITY" }}{{ end -}}
{{- else -}}
{{- fail (printf "database.tls.enabled: it is not known how %s verifies a server; set it to false and put the driver's options into database.query" $database.dialect) -}}
{{- end -}}
{{- end -}}
{{- $given := dict -}}
{{- range $key, $value := $query }}{{ if $value }}{{ $_ := set $given $key $value }}{{ end }}{{ end -}}
{{- toJson $given -}}
{{- end -}}

{{/* ullage.database.poolRecycle is half of wait_timeout, at most 1800 seconds. */}}
{{- define "ullage.database.poolRecycle" -}}
{{- min 1800 (div (int .Values.database.waitTimeoutSeconds) 2) | max 1 -}}
{{- end -}}

{{/* ullage.database.maxConnections is the server's limit, 0 if it is unknown; the evaluation server's default is known. */}}
{{- define "ullage.database.maxConnections" -}}
{{- $isEvaluation := include "ullage.data.isEvaluation" (dict "context" . "kind" "database") -}}
{{- int .Values.database.maxConnections | default (empty $isEvaluation | ternary 0 151) -}}
{{- end -}}

{{/* ullage.database.env is the application's environment for the database, as JSON; takes context and pool. */}}
{{- define "ullage.database.env" -}}
{{- $database := .context.Values.database -}}
{{- $names := $database.env -}}
{{- $env := list -}}
{{- if $database.enabled -}}
{{- $arguments := dict "context" .context "kind" "database" -}}
{{- include "ullage.data.check" $arguments -}}
{{- $source := include "ullage.data.source" $arguments -}}
{{- if eq $source "url" -}}
{{- $key := dict "name" $names.url "secret" $database.existingSecret.name "key" $database.existingSecret.urlKey -}}
{{- $env = append $env (include "ullage.secretEnv" $key | fromJson) -}}
{{- else if eq $source "made" -}}
{{- $key := dict "name" $names.url "secret" (include "ullage.data.secretName" $arguments) "key" "url" -}}
{{- $env = append $env (include "ullage.secretEnv" $key | fromJson) -}}
{{- else -}}
{{- if eq $source "fields" -}}
{{- $env = include "ullage.database.parts" .context | fromJsonArray -}}
{{- end -}}
{{- $env = append $env (dict "name" $names.url "value" (include "ullage.database.url" .context)) -}}
{{- end -}}
{{- $env = concat $env (list
  (dict "name" $names.poolSize "value" (int .pool.size | toString))
  (dict "name" $names.maxOverflow "value" (int .pool.maxOverflow | toString))
  (dict "name" $names.poolTimeout "value" (int .pool.timeoutSeconds | toString))
  (dict "name" $names.poolRecycle "value" (include "ullage.database.poolRecycle" .context))) -}}
{{- end -}}
{{- toJson $env -}}
{{- end -}}

{{/*
ullage.database.parts are the variables that the URL is made of, as JSON. An application that builds its URL from them is
right for every password; the URL that Kubernetes puts together is not where one has a reserved character.
*/}}
{{- define "ullage.database.parts" -}}
{{- $database := .Values.database -}}
{{- $names := $database.env -}}
{{- $env := list (dict "name" $names.dialect "value" $database.dialect) -}}
{{- $env = concat $env (include "ullage.data.fields" (dict "context" . "kind" "database") | fromJsonArray) -}}
{{- $env = concat $env (list
  (dict "name" $names.port "value" (int $database.port | toString))
  (dict "name" $names.name "value" $database.name)) -}}
{{- with include "ullage.database.query" . | trimPrefix "?" -}}
{{- $env = append $env (dict "name" $names.query "value" .) -}}
{{- end -}}
{{- toJson $env -}}
{{- end -}}
