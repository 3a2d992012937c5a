{{/* ullage.redis.url is the whole URL; with single fields it refers to variables. */}}
{{- define "ullage.redis.url" -}}
{{- $redis := .Values.redis -}}
{{- $arguments := dict "context" . "kind" "redis" -}}
{{- $query := dict -}}
{{- if $redis.tls.enabled -}}
{{- $files := include "ullage.data.tlsFiles" $arguments | fromJson -}}
{{- /* redis-py 5 checks no host name unless it is told to. */ -}}
{{- $query = dict "ssl_cert_reqs" "required" "ssl_check_hostname" "true" -}}
{{- with default $redis.tls.caFile $files.ca }}{{ $_ := set $query "ssl_ca_certs" . }}{{ end -}}
{{- with $files.cert }}{{ $_ := set $query "ssl_certfile" . }}{{ end -}}
{{- with $files.key }}{{ $_ := set $query "ssl_keyfile" . }}{{ end -}}
{{- end -}}
{{- $redis.tls.enabled | ternary "rediss" "redis" }}://{{ include "ullage.data.authority" $arguments }}/{{ int $redis.database -}}
{{- include "ullage.queryString" $query -}}
{{- end -}}

{{/* ullage.redis.env is the environment for Redis, as JSON; takes context. RQ's own commands read RQ_REDIS_URL. */}}
{{- define "ullage.redis.env" -}}
{{- $redis := .context.Values.redis -}}
{{- $env := list -}}
{{- if $redis.enabled -}}
{{- $arguments := dict "context" .context "kind" "redis" -}}
{{- include "ullage.data.check" $arguments -}}
{{- $source := include "ullage.data.source" $arguments -}}
{{- if eq $source "fields" -}}
{{- include "ullage.redis.checkPassword" .context -}}
{{- $env = include "ullage.data.fields" $arguments | fromJsonArray -}}
{{- end -}}
{{- range $name := list $redis.env.url "RQ_REDIS_URL" | uniq -}}
{{- if eq $source "url" -}}
{{- $key := dict "name" $name "secret" $redis.existingSecret.name "key" $redis.existingSecret.urlKey -}}
{{- $env = append $env (include "ullage.secretEnv" $key | fromJson) -}}
{{- else if eq $source "made" -}}
{{- $key := dict "name" $name "secret" (include "ullage.data.secretName" $arguments) "key" "url" -}}
{{- $env = append $env (include "ullage.secretEnv" $key | fromJson) -}}
{{- else -}}
{{- $env = append $env (dict "name" $name "value" (include "ullage.redis.url" $.context)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- toJson $env -}}
{{- end -}}

{{/* ullage.redis.checkPassword fails on a password that a URL put together by Kubernetes would not carry to redis-py. */}}
{{- define "ullage.redis.checkPassword" -}}
{{- $existing := .Values.redis.existingSecret -}}
{{- $found := lookup "v1" "Secret" .Release.Namespace $existing.name | default dict -}}
{{- if and $existing.passwordKey (regexMatch "[][/?#%\\s]" (dig "data" $existing.passwordKey "" $found | b64dec)) -}}
{{- fail (printf "redis.existingSecret: the password in the Secret %q has one of / ? # %% [ ] or a space, which breaks a URL; store the whole URL, percent-encoded, and name its key in redis.existingSecret.urlKey" $existing.name) -}}
{{- end -}}
{{- end -}}
