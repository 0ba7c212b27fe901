{{- define "watchbridge.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* 52 characters leave room for "-headless" and for the number and hash that Kubernetes appends to a pod's labels. */}}
{{- define "watchbridge.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- $name := include "watchbridge.name" . -}}
{{- ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "watchbridge.namespace" -}}
{{- default .Release.Namespace .Values.namespaceOverride -}}
{{- end -}}

{{- define "watchbridge.selectorLabels" -}}
app.kubernetes.io/name: {{ include "watchbridge.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "watchbridge.labels" -}}
{{ include "watchbridge.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "watchbridge.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "watchbridge.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "watchbridge.image" -}}
{{- $name := .Values.image.repository -}}
{{- with .Values.image.registry }}{{ $name = printf "%s/%s" . $name }}{{ end -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" $name .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" $name (default .Chart.AppVersion .Values.image.tag) -}}
{{- end -}}
{{- end -}}

{{/* "true" when the store is one that replicas can share. A store behind url_file is taken for one: SQLite has no secret. */}}
{{- define "watchbridge.sharedStore" -}}
{{- if .Values.existingSecret -}}
{{- .Values.sharedStore -}}
{{- else -}}
{{- $store := default "" (get .Values.config "store") -}}
{{- $url := $store -}}
{{- if kindIs "map" $store }}{{ $url = ternary "postgresql:" (default "" (get $store "url")) (hasKey $store "url_file") }}{{ end -}}
{{- regexMatch "^(postgresql|mysql|mariadb|\\$\\{)" $url -}}
{{- end -}}
{{- end -}}

{{/* What may be restarted through the API of this cluster: by namespace and resource the names. */}}
{{- define "watchbridge.restarts" -}}
{{- $own := include "watchbridge.namespace" . -}}
{{- $wanted := .Values.rbac.restarts -}}
{{- range $name, $service := default dict (get .Values.config "services") -}}
{{- $restart := default dict (get (default dict $service) "restart") -}}
{{- if and (eq (toString (get $restart "kind")) "kubernetes") (not (get $restart "server")) -}}
{{- $place := printf "%s in %s" (get $restart "resource") (default $own (get $restart "namespace")) -}}
{{- if not (regexMatch "^(deployment|statefulset|daemonset)/[a-z0-9]([-a-z0-9.]*[a-z0-9])? in [a-z0-9]([-a-z0-9]*[a-z0-9])?$" $place) -}}
{{- fail (printf "the restart of the service %s names %s, for which no right can be given: write resource (such as deployment/web) and namespace out." $name $place) -}}
{{- end -}}
{{- $wanted = append $wanted $restart -}}
{{- end -}}
{{- end -}}
{{- $found := dict -}}
{{- range $wanted -}}
{{- $namespace := default $own .namespace -}}
{{- $parts := splitList "/" .resource -}}
{{- $resource := printf "%ss" (first $parts) -}}
{{- $kinds := default dict (get $found $namespace) -}}
{{- $_ := set $kinds $resource (append (default list (get $kinds $resource)) (last $parts) | uniq | sortAlpha) -}}
{{- $_ := set $found $namespace $kinds -}}
{{- end -}}
{{- toYaml $found -}}
{{- end -}}

{{/* The name of the Role in a namespace; two releases may have one in the same foreign namespace. */}}
{{- define "watchbridge.roleName" -}}
{{- $own := include "watchbridge.namespace" .root -}}
{{- $name := include "watchbridge.fullname" .root -}}
{{- if eq .namespace $own -}}
{{- printf "%s-restarts" $name -}}
{{- else -}}
{{- printf "%s-restarts-%s" ($name | trunc 44 | trimSuffix "-") (printf "%s/%s/%s" $own $name .namespace | sha256sum | trunc 8) -}}
{{- end -}}
{{- end -}}

{{- define "watchbridge.tokenFile" -}}
{{- with .Values.alertmanager.bearerToken -}}
{{- if .existingSecret }}{{ printf "/run/secrets/watchbridge-alertmanager/%s" .key }}{{ end -}}
{{- end -}}
{{- end -}}

{{/* "true" when somebody can prove that they may send alerts: a listener of the pod without that refuses to start. */}}
{{- define "watchbridge.webhook" -}}
{{- $alertmanager := default dict (get .Values.config "alertmanager") -}}
{{- $token := or (include "watchbridge.tokenFile" .) (get $alertmanager "bearer_token_file") (get $alertmanager "bearer_token") -}}
{{- if or $token (and .Values.webConfig.existingSecret .Values.webConfig.identifies) }}true{{ end -}}
{{- end -}}

{{- define "watchbridge.config" -}}
{{- $web := dict -}}
{{- if .Values.webConfig.existingSecret }}{{ $_ := set $web "web_config" (printf "/etc/watchbridge-web/%s" .Values.webConfig.key) }}{{ end -}}
{{- $metrics := merge (dict "address" (printf "0.0.0.0:%d" (int .Values.containerPorts.metrics)) "serve" (list "metrics")) $web -}}
{{- $rest := merge (dict "address" (printf "0.0.0.0:%d" (int .Values.containerPorts.web)) "serve" (ternary (list "api" "webhook" "page") (list "api" "page") (eq (include "watchbridge.webhook" .) "true"))) $web -}}
{{- $defaults := dict "listen" (list $metrics $rest) "store" "sqlite:////var/lib/watchbridge/data/watchbridge.db" -}}
{{- with include "watchbridge.tokenFile" . }}{{ $_ := set $defaults "alertmanager" (dict "bearer_token_file" .) }}{{ end -}}
{{- if eq (include "watchbridge.sharedStore" .) "true" }}{{ $_ := set $defaults "replica" "${HOSTNAME}" }}{{ end -}}
{{- $config := merge (deepCopy .Values.config) $defaults -}}
{{- /* Helm reads the key `on` as true, which YAML 1.1 says. */ -}}
{{- range default list (get $config "notify") -}}
{{- if hasKey . "true" }}{{ $_ := set . "on" (get . "true") }}{{ $_ := unset . "true" }}{{ end -}}
{{- end -}}
{{- toYaml $config -}}
{{- end -}}

{{/* What contradicts itself is refused here, with a sentence each. */}}
{{- define "watchbridge.check" -}}
{{- $shared := eq (include "watchbridge.sharedStore" .) "true" -}}
{{- if and (gt (int .Values.replicaCount) 1) (not $shared) -}}
{{- fail "replicaCount above 1 needs a store that replicas share: set config.store to a PostgreSQL or MySQL URL (with existingSecret: set sharedStore to true), or set replicaCount to 1." -}}
{{- end -}}
{{- if and .Values.existingSecret .Values.config -}}
{{- fail "config and existingSecret both give the configuration: set one of them." -}}
{{- end -}}
{{- if and .Values.sharedStore (not .Values.existingSecret) -}}
{{- fail "sharedStore describes the configuration in existingSecret: with config, set config.store instead." -}}
{{- end -}}
{{- if and .Values.existingSecret .Values.webConfig.existingSecret -}}
{{- fail "webConfig.existingSecret is written into the listeners of config: with existingSecret, name web_config there and mount it with extraVolumes." -}}
{{- end -}}
{{- if and .Values.webConfig.existingSecret (hasKey .Values.config "listen") -}}
{{- fail "webConfig.existingSecret is written into the listeners that the chart makes: with config.listen, name web_config there and mount it with extraVolumes." -}}
{{- end -}}
{{- if .Values.alertmanager.bearerToken.existingSecret -}}
{{- if .Values.existingSecret -}}
{{- fail "alertmanager.bearerToken is written into config: with existingSecret, name alertmanager.bearer_token_file there and put the token into credentials.existingSecret." -}}
{{- end -}}
{{- $alertmanager := default dict (get .Values.config "alertmanager") -}}
{{- if or (hasKey $alertmanager "bearer_token") (hasKey $alertmanager "bearer_token_file") -}}
{{- fail "alertmanager.bearerToken and config.alertmanager both give the token: set one of them." -}}
{{- end -}}
{{- end -}}
{{- if and .Values.webConfig.identifies (not .Values.webConfig.existingSecret) -}}
{{- fail "webConfig.identifies describes the web-config file: set webConfig.existingSecret too." -}}
{{- end -}}
{{- $restarts := include "watchbridge.restarts" . | fromYaml -}}
{{- if and $restarts .Values.rbac.create (not .Values.serviceAccount.create) (not .Values.serviceAccount.name) -}}
{{- fail "rbac.create would give its rights to the service account `default`, and so to other pods: set serviceAccount.create or serviceAccount.name." -}}
{{- end -}}
{{- if and .Values.podDisruptionBudget.minAvailable .Values.podDisruptionBudget.maxUnavailable -}}
{{- fail "podDisruptionBudget takes minAvailable or maxUnavailable, not both." -}}
{{- end -}}
{{- if eq (int .Values.containerPorts.metrics) (int .Values.containerPorts.web) -}}
{{- fail "containerPorts.metrics and containerPorts.web must differ." -}}
{{- end -}}
{{- range .Values.extraEnv -}}
{{- if and $.Values.credentials.encryptionKey.existingSecret (eq (default "" .name) "ENCRYPTION_KEY") -}}
{{- fail "credentials.encryptionKey and extraEnv both give ENCRYPTION_KEY: set one of them." -}}
{{- end -}}
{{- end -}}
{{- if and .Values.ingress.enabled (not .Values.ingress.hosts) -}}
{{- fail "ingress.enabled needs ingress.hosts." -}}
{{- end -}}
{{- end -}}

{{/* A probe with the scheme of webConfig, unless the values give one. */}}
{{- define "watchbridge.probe" -}}
{{- $probe := deepCopy .probe -}}
{{- if hasKey $probe "httpGet" }}{{ $_ := set $probe "httpGet" (merge $probe.httpGet (dict "scheme" .scheme)) }}{{ end -}}
{{- toYaml $probe -}}
{{- end -}}
