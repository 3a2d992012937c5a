{{/* ullage.urlEncode percent-encodes every byte that is not unreserved; urlquery alone makes a space a +. */}}
{{- define "ullage.urlEncode" -}}
{{- urlquery (toString .) | replace "+" "%20" -}}
{{- end -}}

{{/* ullage.urlHost puts an IPv6 address into brackets. */}}
{{- define "ullage.urlHost" -}}
{{- ternary (printf "[%s]" .) . (and (contains ":" .) (not (hasPrefix "[" .))) -}}
{{- end -}}

{{/* ullage.queryString is ?key=value&... in the order of the keys, or nothing. */}}
{{- define "ullage.queryString" -}}
{{- $pairs := list -}}
{{- range $key, $value := . -}}
{{- $pairs = append $pairs (printf "%s=%s" (include "ullage.urlEncode" $key) (include "ullage.urlEncode" $value)) -}}
{{- end -}}
{{- with $pairs }}?{{ join "&" . }}{{ end -}}
{{- end -}}

{{/* ullage.secretEnv is a variable from a Secret, as JSON; takes name, secret and key. */}}
{{- define "ullage.secretEnv" -}}
{{- dict "name" .name "valueFrom" (dict "secretKeyRef" (dict "name" .secret "key" .key)) | toJson -}}
{{- end -}}

{{/*
ullage.data.source says where the URL of a server comes from; takes context and kind, database or redis.
  url     the user's Secret has the whole URL
  fields  the user's Secret has single fields
  made    the chart makes a Secret with the whole URL
  plain   there is no password, and the URL is no secret
*/}}
{{- define "ullage.data.source" -}}
{{- $server := index .context.Values .kind -}}
{{- $existing := $server.existingSecret -}}
{{- if $existing.name -}}
{{- $existing.urlKey | empty | ternary "fields" "url" -}}
{{- else -}}
{{- or $server.password (include "ullage.data.isEvaluation" .) | empty | ternary "plain" "made" -}}
{{- end -}}
{{- end -}}

{{/* ullage.data.isEvaluation is "true" where the chart's own server is used; takes context and kind. */}}
{{- define "ullage.data.isEvaluation" -}}
{{- $server := index .context.Values .kind -}}
{{- if and .context.Values.evaluation.enabled $server.enabled -}}
true
{{- end -}}
{{- end -}}

{{/* ullage.data.host is the name of the server, as far as values say it; takes context and kind. */}}
{{- define "ullage.data.host" -}}
{{- if include "ullage.data.isEvaluation" . -}}
{{- include "ullage.componentName" (dict "context" .context "component" (eq .kind "database" | ternary "mariadb" "valkey")) -}}
{{- else -}}
{{- index .context.Values .kind "host" -}}
{{- end -}}
{{- end -}}

{{/* ullage.data.secretName is the Secret that the chart makes for a server; takes context and kind. */}}
{{- define "ullage.data.secretName" -}}
{{- include "ullage.componentName" (dict "context" .context "component" .kind) -}}
{{- end -}}

{{/*
ullage.data.authority is user:password@host:port of a URL; takes context and kind. With single fields it refers to
variables, which Kubernetes puts in as they are.
*/}}
{{- define "ullage.data.authority" -}}
{{- $server := index .context.Values .kind -}}
{{- $user := include "ullage.urlEncode" $server.user -}}
{{- $host := include "ullage.urlHost" (include "ullage.data.host" .) -}}
{{- $password := "" -}}
{{- $source := include "ullage.data.source" . -}}
{{- if eq $source "made" -}}
{{- $password = include "ullage.urlEncode" (include "ullage.data.password" .) -}}
{{- else if eq $source "fields" -}}
{{- $keys := $server.existingSecret -}}
{{- if $keys.userKey }}{{ $user = printf "$(%s)" $server.env.user }}{{ end -}}
{{- if $keys.hostKey }}{{ $host = printf "$(%s)" $server.env.host }}{{ end -}}
{{- if $keys.passwordKey }}{{ $password = printf "$(%s)" $server.env.password }}{{ end -}}
{{- end -}}
{{- $user -}}
{{- with $password }}:{{ . }}{{ end -}}
{{- if or $user $password }}@{{ end -}}
{{- $host }}:{{ int $server.port -}}
{{- end -}}

{{/*
ullage.data.password is the value's; else, for an evaluation server, what its Secret has already, or a new one. It is kept
in .Values.evaluation while the chart renders: a random one would be another at each call.
*/}}
{{- define "ullage.data.password" -}}
{{- $given := index .context.Values .kind "password" -}}
{{- if $given -}}
{{- $given -}}
{{- else -}}
{{- include "ullage.data.generated" (dict "context" .context "secret" (include "ullage.data.secretName" .) "key" "password") -}}
{{- end -}}
{{- end -}}

{{/* ullage.data.generated is a password that upgrades keep; takes context, secret and key. */}}
{{- define "ullage.data.generated" -}}
{{- $kept := .context.Values.evaluation -}}
{{- $name := printf "%s/%s" .secret .key -}}
{{- if not (hasKey $kept $name) -}}
{{- $found := lookup "v1" "Secret" .context.Release.Namespace .secret | default dict -}}
{{- $_ := set $kept $name (dig "data" .key "" $found | b64dec | default (randAlphaNum 32)) -}}
{{- end -}}
{{- get $kept $name -}}
{{- end -}}

{{/*
ullage.data.checkKeys fails where a Secret exists and lacks a key; takes context, secret and keys, which maps the value
that names a key to it. Without a cluster, or before the Secret is there, nothing is known.
*/}}
{{- define "ullage.data.checkKeys" -}}
{{- $found := lookup "v1" "Secret" .context.Release.Namespace .secret -}}
{{- if $found -}}
{{- $data := $found.data | default dict -}}
{{- range $value, $key := .keys -}}
{{- if and $key (not (hasKey $data $key)) -}}
{{- fail (printf "%s is %q, but the Secret %q has only %s: name a key that it has, or add this one" $value $key $.secret (keys $data | sortAlpha | join ", " | default "no keys")) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* ullage.data.check fails on contradictions about a server's secrets, and on Secrets without a key; takes context and kind. */}}
{{- define "ullage.data.check" -}}
{{- $server := index .context.Values .kind -}}
{{- $existing := $server.existingSecret -}}
{{- if and $server.password $existing.name -}}
{{- fail (printf "%s.password and %s.existingSecret.name are both set; remove the one that is not meant" .kind .kind) -}}
{{- end -}}
{{- if and $server.tls.enabled (include "ullage.data.isEvaluation" .) -}}
{{- fail (printf "%s.tls.enabled is true, and the evaluation server has no certificate to verify; set it to false, or evaluation.enabled to false and %s.host to your server" .kind .kind) -}}
{{- end -}}
{{- $source := include "ullage.data.source" . -}}
{{- if eq $source "url" -}}
{{- include "ullage.data.checkKeys" (dict "context" .context "secret" $existing.name "keys" (dict (printf "%s.existingSecret.urlKey" .kind) $existing.urlKey)) -}}
{{- else if eq $source "fields" -}}
{{- $keys := dict -}}
{{- range list "hostKey" "userKey" "passwordKey" -}}
{{- $_ := set $keys (printf "%s.existingSecret.%s" $.kind .) (index $existing .) -}}
{{- end -}}
{{- include "ullage.data.checkKeys" (dict "context" .context "secret" $existing.name "keys" $keys) -}}
{{- end -}}
{{- if and $server.tls.enabled $server.tls.caSecret -}}
{{- include "ullage.data.checkKeys" (dict "context" .context "secret" $server.tls.caSecret "keys" (dict (printf "%s.tls.caKey" .kind) $server.tls.caKey)) -}}
{{- end -}}
{{- end -}}

{{/* ullage.data.fields are host, user and password, each from the user's Secret or the values; takes context and kind. */}}
{{- define "ullage.data.fields" -}}
{{- $server := index .context.Values .kind -}}
{{- $existing := $server.existingSecret -}}
{{- $plain := dict "host" $server.host "user" $server.user -}}
{{- $env := list -}}
{{- range $field := list "host" "user" "password" -}}
{{- $name := index $server.env $field -}}
{{- $key := index $existing (printf "%sKey" $field) -}}
{{- if $key -}}
{{- $env = append $env (include "ullage.secretEnv" (dict "name" $name "secret" $existing.name "key" $key) | fromJson) -}}
{{- else if get $plain $field -}}
{{- $env = append $env (dict "name" $name "value" (get $plain $field)) -}}
{{- end -}}
{{- end -}}
{{- toJson $env -}}
{{- end -}}

{{/* ullage.data.tlsFiles are the paths of ca, cert and key in every container, as JSON; takes context and kind. */}}
{{- define "ullage.data.tlsFiles" -}}
{{- $tls := index .context.Values .kind "tls" -}}
{{- $directory := printf "/etc/ullage/%s-tls" .kind -}}
{{- $files := dict -}}
{{- if $tls.caSecret }}{{ $_ := set $files "ca" (printf "%s/ca.crt" $directory) }}{{ end -}}
{{- if $tls.clientSecret -}}
{{- $_ := set $files "cert" (printf "%s/tls.crt" $directory) -}}
{{- $_ := set $files "key" (printf "%s/tls.key" $directory) -}}
{{- end -}}
{{- toJson $files -}}
{{- end -}}

{{/* ullage.data.tlsVolume is one volume with a server's certificates, as a JSON list; takes context and kind. */}}
{{- define "ullage.data.tlsVolume" -}}
{{- $server := index .context.Values .kind -}}
{{- $sources := list -}}
{{- if and $server.enabled $server.tls.enabled -}}
{{- with $server.tls.caSecret -}}
{{- $item := dict "key" $server.tls.caKey "path" "ca.crt" -}}
{{- $sources = append $sources (dict "secret" (dict "name" . "items" (list $item))) -}}
{{- end -}}
{{- with $server.tls.clientSecret -}}
{{- $key := dict "key" "tls.key" "path" "tls.key" -}}
{{- /* libpq refuses a key that everyone may read; 0440 then needs podSecurityContext.fsGroup. */ -}}
{{- if hasPrefix "postgresql" (default "" $server.dialect) }}{{ $_ := set $key "mode" 288 }}{{ end -}}
{{- $items := list (dict "key" "tls.crt" "path" "tls.crt") $key -}}
{{- $sources = append $sources (dict "secret" (dict "name" . "items" $items)) -}}
{{- end -}}
{{- end -}}
{{- $volumes := list -}}
{{- with $sources -}}
{{- $volumes = append $volumes (dict "name" (printf "%s-tls" $.kind) "projected" (dict "sources" .)) -}}
{{- end -}}
{{- toJson $volumes -}}
{{- end -}}

{{/* ullage.data.volumes are the certificates for database and Redis, as JSON. */}}
{{- define "ullage.data.volumes" -}}
{{- $database := include "ullage.data.tlsVolume" (dict "context" . "kind" "database") | fromJsonArray -}}
{{- $redis := include "ullage.data.tlsVolume" (dict "context" . "kind" "redis") | fromJsonArray -}}
{{- concat $database $redis | toJson -}}
{{- end -}}

{{/* ullage.data.volumeMounts go with ullage.data.volumes, as JSON. */}}
{{- define "ullage.data.volumeMounts" -}}
{{- $mounts := list -}}
{{- range include "ullage.data.volumes" . | fromJsonArray -}}
{{- $mounts = append $mounts (dict "name" .name "mountPath" (printf "/etc/ullage/%s" .name) "readOnly" true) -}}
{{- end -}}
{{- toJson $mounts -}}
{{- end -}}

{{/* ullage.data.checksum changes with the Secrets that the chart makes, so that pods start with the new ones, or is empty. */}}
{{- define "ullage.data.checksum" -}}
{{- $urls := list -}}
{{- range $kind := list "database" "redis" -}}
{{- if index $.Values $kind "enabled" -}}
{{- if eq (include "ullage.data.source" (dict "context" $ "kind" $kind)) "made" -}}
{{- $urls = append $urls (include (printf "ullage.%s.url" $kind) $) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- with $urls }}{{ join "\n" . | sha256sum }}{{ end -}}
{{- end -}}
