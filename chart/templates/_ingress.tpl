{{/* ullage.ingress.annotations is what the redirect and the prefix need at the topology's controller; the user's win. */}}
{{- define "ullage.ingress.annotations" -}}
{{- if include "ullage.proxy.isNginx" . -}}
{{- include "ullage.ingress.annotations.nginx" . -}}
{{- else if eq .Values.proxy.topology "traefik" -}}
{{- include "ullage.ingress.annotations.traefik" . -}}
{{- else if eq .Values.proxy.topology "alb" -}}
{{- include "ullage.ingress.annotations.alb" . -}}
{{- end -}}
{{- end -}}

{{- define "ullage.ingress.annotations.nginx" -}}
{{- $ingress := .Values.ingress -}}
nginx.ingress.kubernetes.io/ssl-redirect: {{ and $ingress.httpsRedirect (not (empty $ingress.tls)) | quote }}
{{- if ne .Values.proxy.topology "ingress-nginx" }}
# TLS ends in front of it, so that the Ingress has none; X-Forwarded-Proto says what the client used.
nginx.ingress.kubernetes.io/force-ssl-redirect: {{ $ingress.httpsRedirect | quote }}
{{- end }}
{{- with $ingress.pathPrefix }}
nginx.ingress.kubernetes.io/use-regex: "true"
nginx.ingress.kubernetes.io/rewrite-target: /$2
nginx.ingress.kubernetes.io/x-forwarded-prefix: {{ . | quote }}
{{- end }}
{{- end -}}

{{- define "ullage.ingress.annotations.traefik" -}}
{{- $middlewares := list -}}
{{- range $concern := include "ullage.ingress.middlewares" . | fromJsonArray -}}
{{- $name := include "ullage.componentName" (dict "context" $ "component" $concern) -}}
{{- $middlewares = append $middlewares (printf "%s-%s@kubernetescrd" $.Release.Namespace $name) -}}
{{- end -}}
{{- with $middlewares -}}
traefik.ingress.kubernetes.io/router.middlewares: {{ join "," . }}
{{- end -}}
{{- end -}}

{{/*
ullage.ingress.middlewares are the Traefik Middlewares that the Ingress needs, as JSON: https, prefix. Without Traefik's
CRDs the redirect is left out, and NOTES.txt says so; the prefix could not work, and the install fails.
*/}}
{{- define "ullage.ingress.middlewares" -}}
{{- $needed := list -}}
{{- if and .Values.ingress.enabled (eq .Values.proxy.topology "traefik") -}}
{{- $hasKind := .Capabilities.APIVersions.Has "traefik.io/v1alpha1/Middleware" -}}
{{- if and $hasKind .Values.ingress.httpsRedirect .Values.ingress.tls }}{{- $needed = append $needed "https" -}}{{- end -}}
{{- if .Values.ingress.pathPrefix }}{{- $needed = append $needed "prefix" -}}{{- end -}}
{{- end -}}
{{- toJson $needed -}}
{{- end -}}

{{- define "ullage.ingress.annotations.alb" -}}
# A ClusterIP Service has no node port for the load balancer; it reaches the pods.
alb.ingress.kubernetes.io/target-type: ip
alb.ingress.kubernetes.io/healthcheck-path: {{ .Values.web.probes.readinessPath }}
{{- if .Values.ingress.httpsRedirect }}
{{- if or .Values.ingress.tls (hasKey .Values.ingress.annotations "alb.ingress.kubernetes.io/certificate-arn") }}
alb.ingress.kubernetes.io/listen-ports: '[{"HTTP": 80}, {"HTTPS": 443}]'
alb.ingress.kubernetes.io/ssl-redirect: "443"
{{- end }}
{{- end }}
{{- end -}}

{{/*
ullage.ingress.path is the path and pathType of a rule, under the prefix; takes context and path. For nginx the second
group of the expression is what remains without the prefix.
*/}}
{{- define "ullage.ingress.path" -}}
{{- $prefix := .context.Values.ingress.pathPrefix -}}
{{- $path := .path.path -}}
{{- if and $prefix (include "ullage.proxy.isNginx" .context) -}}
{{- $rest := trimPrefix "/" $path | trimSuffix "/" -}}
{{- $tail := eq .path.pathType "Exact" | ternary "" "(/.*)?" -}}
path: {{ printf "%s%s" (regexQuoteMeta $prefix) (empty $rest | ternary "(/|$)(.*)" (printf "(/)(%s%s)$" (regexQuoteMeta $rest) $tail)) | quote }}
pathType: ImplementationSpecific
{{- else -}}
path: {{ empty $prefix | ternary $path (printf "%s%s" $prefix $path | trimSuffix "/") | quote }}
pathType: {{ .path.pathType }}
{{- end -}}
{{- end -}}
