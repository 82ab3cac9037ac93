{{- define "raylift.name" -}}
{{- if contains "raylift" .Release.Name -}}
{{ .Release.Name | trunc 50 | trimSuffix "-" }}
{{- else -}}
{{ printf "%s-raylift" .Release.Name | trunc 50 | trimSuffix "-" }}
{{- end -}}
{{- end -}}

{{- define "raylift.selector" -}}
app.kubernetes.io/name: raylift
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "raylift.labels" -}}
{{ include "raylift.selector" . }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{/* The platform's configuration file. It answers by the names of the Service and the Ingress only. */}}
{{- define "raylift.config" -}}
{{- $name := include "raylift.name" . -}}
{{- $in := printf "%s.%s" $name .Release.Namespace -}}
{{- $hosts := list $name $in (printf "%s.svc" $in) (printf "%s.svc.cluster.local" $in) -}}
{{- if .Values.ingress.enabled -}}{{- $hosts = append $hosts .Values.ingress.host -}}{{- end -}}
{{- $config := deepCopy .Values.config -}}
{{- $gateway := deepCopy (default dict $config.gateway) -}}
{{- $_ := set $gateway "allowed_hosts" (concat $hosts (default list $gateway.allowed_hosts) | uniq) -}}
{{- $_ := set $config "gateway" $gateway -}}
{{- $_ := set $config "auth" "keys" -}}
{{- $resources := dict "cpus" .Values.jobs.cpus "memory" .Values.jobs.memory -}}
{{- if .Values.resources.gpus -}}{{- $_ := set $resources "gpus" .Values.resources.gpus -}}{{- end -}}
{{- $_ := set $config "resources" $resources -}}
{{ toYaml $config }}
{{- end -}}
