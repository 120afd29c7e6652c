{{/* The labels of an object of a component. Call with (list $ "controller"); an empty component is that of all. */}}
{{- define "berth.labels" -}}
{{- $root := index . 0 -}}
app.kubernetes.io/name: berth
{{- with index . 1 }}
app.kubernetes.io/component: {{ . }}
{{- end }}
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_" }}
{{- with $root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* What selects the pods of a component. */}}
{{- define "berth.selector" -}}
app.kubernetes.io/name: berth
app.kubernetes.io/component: {{ . }}
{{- end }}

{{/* The image of a component. Call with (list $ "controller"). */}}
{{- define "berth.image" -}}
{{- $root := index . 0 -}}
{{- $image := index $root.Values.images (index . 1) -}}
{{- $name := $image.repository -}}
{{- with $root.Values.images.registry }}{{ $name = printf "%s/%s" (trimSuffix "/" .) $name }}{{ end -}}
{{- if $image.digest -}}
{{ $name }}@{{ $image.digest }}
{{- else -}}
{{ $name }}:{{ $image.tag | default $root.Chart.AppVersion }}
{{- end -}}
{{- end }}

{{/* Where the API server is, for containers. */}}
{{- define "berth.serverEnvironment" -}}
{{- with .Values.kubernetesServiceHost }}
- name: KUBERNETES_SERVICE_HOST
  value: {{ . | quote }}
{{- end }}
{{- with .Values.kubernetesServicePort }}
- name: KUBERNETES_SERVICE_PORT
  value: {{ . | toString | quote }}
- name: KUBERNETES_SERVICE_PORT_HTTPS
  value: {{ . | toString | quote }}
{{- end }}
{{- end }}

{{/*
Whether the server has a kind: `true` or nothing. Call with (list $ "policy/v1" "PodDisruptionBudget" "1.21"). Without
a cluster, as in `helm template`, only its version is known.
*/}}
{{- define "berth.serves" -}}
{{- $capabilities := (index . 0).Capabilities -}}
{{- if $capabilities.APIVersions.Has (printf "%s/%s" (index . 1) (index . 2)) -}}
true
{{- else if $capabilities.APIVersions.Has "v1/Pod" -}}
{{- else if semverCompare (printf ">=%s-0" (index . 3)) $capabilities.KubeVersion.Version -}}
true
{{- end -}}
{{- end }}

{{/* Options with a value each: those that are set. Call with a list of lists: name, value. */}}
{{- define "berth.options" -}}
{{- range . }}
{{- $value := index . 1 | toString }}
{{- if ne $value "" }}
- {{ printf "--%s=%s" (index . 0) $value | quote }}
{{- end }}
{{- end }}
{{- end }}

{{/*
The objects of a file that config/ has too: with the labels of the chart, in the namespace of the release. Call with
(list $ "files/rbac/node.yaml").
*/}}
{{- define "berth.objects" -}}
{{- $root := index . 0 -}}
{{- $text := $root.Files.Get (index . 1) | replace "system:serviceaccount:berth-system:" (printf "system:serviceaccount:%s:" $root.Release.Namespace) -}}
{{- range regexSplit "(?m)^---$" $text -1 }}
{{- $object := fromYaml . }}
{{- if $object.Error }}{{ fail (printf "%s: %s" (index $ 1) $object.Error) }}{{ end }}
{{- if $object.kind }}
{{- $labels := include "berth.labels" (list $root "") | fromYaml }}
{{- $_ := set $object.metadata "labels" (merge (dict) $object.metadata.labels $labels) }}
{{- if $object.metadata.namespace }}
{{- $_ := set $object.metadata "namespace" $root.Release.Namespace }}
{{- end }}
{{- range $object.subjects }}
{{- if .namespace }}{{ $_ := set . "namespace" $root.Release.Namespace }}{{ end }}
{{- end }}
{{- if eq $object.kind "ServiceAccount" }}
{{- $values := index $root.Values (get $object.metadata.labels "app.kubernetes.io/component") | default dict }}
{{- with $values.serviceAccountAnnotations }}{{ $_ := set $object.metadata "annotations" . }}{{ end }}
{{- end }}
---
{{ toYaml $object }}
{{- end }}
{{- end }}
{{- end }}

{{/* Takes the rules in CEL from a schema, however deep they are. */}}
{{- define "berth.withoutRules" -}}
{{- if kindIs "map" . }}
{{- $_ := unset . "x-kubernetes-validations" }}
{{- range . }}{{ include "berth.withoutRules" . }}{{ end }}
{{- else if kindIs "slice" . }}
{{- range . }}{{ include "berth.withoutRules" . }}{{ end }}
{{- end }}
{{- end }}
