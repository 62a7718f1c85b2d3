{{- define "acme-ra.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "acme-ra.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" -}}
{{- else if contains (include "acme-ra.name" .) .Release.Name -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "acme-ra.name" .) | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "acme-ra.selectorLabels" -}}
app.kubernetes.io/name: {{ include "acme-ra.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "acme-ra.labels" -}}
{{ include "acme-ra.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "acme-ra.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "acme-ra.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "acme-ra.image" -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) -}}
{{- end -}}
{{- end -}}

{{- define "acme-ra.externalURL" -}}
{{- default (printf "https://%s.%s.svc" (include "acme-ra.fullname" .) .Release.Namespace) .Values.externalURL -}}
{{- end -}}

{{/* The configuration file: where this chart mounts things, then what the values say. */}}
{{- define "acme-ra.config" -}}
{{- $authority := dict "kind" "local" "certificate" "/etc/acme-ra/ca/intermediate.pem" "chain" "/etc/acme-ra/ca/root.pem" "key" "/etc/acme-ra/ca/intermediate.key" "passphrase_file" "/etc/acme-ra/keys/passphrase" -}}
{{- $tls := dict "certificate" "/etc/acme-ra/tls/tls.crt" "key" "/etc/acme-ra/tls/tls.key" -}}
{{- $profiles := dict "default" (dict "validity" "90d" "usages" (list "server auth")) "shortlived" (dict "validity" "6d" "usages" (list "server auth")) -}}
{{- $directory := dict "authorities" (list "intermediate") "profiles" (dict "default" "90 days" "shortlived" "6 days") "external_account_required" true -}}
{{- $config := dict
      "server" (dict "listen" "0.0.0.0:14000" "external_url" (include "acme-ra.externalURL" .) "tls" $tls "workers" (int .Values.workers) "watch_files" "30s")
      "storage" (dict "path" "/data/acme-ra.sqlite")
      "secrets" (dict "key_file" "/etc/acme-ra/keys/master.key")
      "policies" (dict "path" "/etc/acme-ra/policies")
      "logging" (dict "format" "json")
      "authorities" (dict "intermediate" $authority)
      "profiles" $profiles
      "directories" (dict "default" $directory) -}}
{{- if .Values.metrics.enabled -}}
{{- $_ := set $config "metrics" (dict "listen" "0.0.0.0:14001") -}}
{{- end -}}
{{- if .Values.inCluster.enabled -}}
{{- $cluster := dict "in_cluster" true "events" .Values.inCluster.events "policies" .Values.inCluster.policies -}}
{{- $_ := set $config "clusters" (dict .Values.inCluster.name $cluster) -}}
{{- end -}}
{{- toYaml (mustMergeOverwrite $config (deepCopy .Values.config)) -}}
{{- end -}}
