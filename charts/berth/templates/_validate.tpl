{{/*
Fails where values make no sense together, or in a way that the schema cannot say. Each message begins with the name of
the value.
*/}}
{{- define "berth.validate" -}}
{{- include "berth.validate.controller" . }}
{{- include "berth.validate.node" . }}
{{- include "berth.validate.server" . }}
{{- include "berth.validate.labels" . }}
{{- include "berth.validate.pools" . }}
{{- end }}

{{/* The seconds of a duration, as a number. Call with (list "controller.gracePeriod" "1m30s"). */}}
{{- define "berth.seconds" -}}
{{- $name := index . 0 }}
{{- $text := index . 1 | toString }}
{{- if not (regexMatch "^(0|([0-9]+(\\.[0-9]+)?(ns|us|ms|s|m|h))+)$" $text) }}
{{- fail (printf "%s: %q is no duration; write 90s, 1m30s or 2h" $name $text) }}
{{- end }}
{{- $units := dict "ns" 0.000000001 "us" 0.000001 "ms" 0.001 "s" 1.0 "m" 60.0 "h" 3600.0 }}
{{- $total := 0.0 }}
{{- range regexFindAll "[0-9.]+[a-z]+" $text -1 }}
{{- $total = addf $total (mulf (regexFind "[0-9.]+" . | float64) (get $units (regexFind "[a-z]+" .))) }}
{{- end }}
{{- $total }}
{{- end }}

{{/* A duration, if there is one, within bounds. Call with (list "controller.gracePeriod" "30s" 6 3600). */}}
{{- define "berth.validate.duration" -}}
{{- $text := index . 1 | toString }}
{{- if ne $text "" }}
{{- $seconds := include "berth.seconds" (list (index . 0) $text) | float64 }}
{{- if lt $seconds (index . 2 | float64) }}
{{- fail (printf "%s: %s is too short; at least %vs" (index . 0) $text (index . 2)) }}
{{- end }}
{{- if and (index . 3) (gt $seconds (index . 3 | float64)) }}
{{- fail (printf "%s: %s is too long; at most %vs" (index . 0) $text (index . 3)) }}
{{- end }}
{{- end }}
{{- end }}

{{- define "berth.validate.controller" -}}
{{- $controller := .Values.controller }}
{{- if $controller.enabled }}
{{- if and $controller.webhook.enabled (eq $controller.webhook.failurePolicy "Fail") (lt (int $controller.replicas) 1) }}
{{- fail "controller.replicas: 0, with controller.webhook.enabled and failurePolicy Fail: nobody could edit a pool" }}
{{- end }}
{{- if eq (int $controller.ports.probes) (int $controller.ports.webhook) }}
{{- fail (printf "controller.ports.webhook: %v is controller.ports.probes too" $controller.ports.webhook) }}
{{- end }}
{{- if and $controller.webhook.certificateAuthority (not $controller.webhook.certificateSecret) }}
{{- fail "controller.webhook.certificateAuthority: needs controller.webhook.certificateSecret" }}
{{- end }}
{{- if and $controller.webhook.certificateSecret (not $controller.webhook.certificateAuthority) (not $controller.webhook.annotations) }}
{{- fail "controller.webhook.certificateSecret: needs controller.webhook.certificateAuthority, or controller.webhook.annotations by which somebody puts it in" }}
{{- end }}
{{- $available := $controller.podDisruptionBudget.minAvailable | toString }}
{{- if and $controller.podDisruptionBudget.enabled (gt (int $controller.replicas) 1) }}
{{- if or (eq $available "100%") (and (not (hasSuffix "%" $available)) (ge (atoi $available) (int $controller.replicas))) }}
{{- fail (printf "controller.podDisruptionBudget.minAvailable: %s of %v replicas: no node with one could be drained" $available $controller.replicas) }}
{{- end }}
{{- end }}
{{- include "berth.validate.duration" (list "controller.gracePeriod" $controller.gracePeriod 0 0) }}
{{- include "berth.validate.duration" (list "controller.nodeLostTimeout" $controller.nodeLostTimeout 0 0) }}
{{- include "berth.validate.duration" (list "controller.inlinePoolLifetime" $controller.inlinePoolLifetime 0 0) }}
{{- include "berth.validate.duration" (list "controller.statusInterval" $controller.statusInterval 1 0) }}
{{- include "berth.validate.duration" (list "controller.leaseDuration" $controller.leaseDuration 6 0) }}
{{- range $controller.extraArgs }}
{{- if not (hasPrefix "--" .) }}{{ fail (printf "controller.extraArgs: %q is no option; write --name=value" .) }}{{ end }}
{{- end }}
{{- end }}
{{- if .Values.networkPolicy.enabled }}
{{- if not $controller.enabled }}{{ fail "networkPolicy.enabled: without controller.enabled there is nothing that it would be for" }}{{ end }}
{{- if $controller.hostNetwork }}
{{- fail "networkPolicy.enabled: has no effect on pods of the host network; needs controller.hostNetwork=false" }}
{{- end }}
{{- end }}
{{- end }}

{{- define "berth.validate.node" -}}
{{- $node := .Values.node }}
{{- if $node.enabled }}
{{- $ports := .Values.controller.ports }}
{{- if and .Values.controller.enabled .Values.controller.hostNetwork }}
{{- range $name, $port := $ports }}
{{- if eq (int $port) (int $node.metricsPort) }}
{{- fail (printf "node.metricsPort: %v is controller.ports.%s too, on the same host network" $port $name) }}
{{- end }}
{{- end }}
{{- end }}
{{- include "berth.validate.duration" (list "node.gracePeriod" $node.gracePeriod 0 0) }}
{{- include "berth.validate.duration" (list "node.interval" $node.interval 1 0) }}
{{- include "berth.validate.duration" (list "node.leaseDuration" $node.leaseDuration 4 0) }}
{{- include "berth.validate.duration" (list "node.pluginTimeout" $node.pluginTimeout 1 120) }}
{{- $seen := dict "/run/berth" "" "/var/run/secrets/tokens/berth" "" }}
{{- range $name := list "pluginDirectory" "configurationDirectory" "stateDirectory" "logDirectory" "machineIDFile" }}
{{- $path := get $node $name }}
{{- if not (regexMatch "^(/[^/]+)+$" $path) }}
{{- fail (printf "node.%s: %q is no absolute path without a slash at its end" $name $path) }}
{{- end }}
{{- if has ".." (splitList "/" $path) }}{{ fail (printf "node.%s: %q goes upwards" $name $path) }}{{ end }}
{{- if hasKey $seen $path }}
{{- $owner := ternary "the agent's own" (printf "node.%s" (get $seen $path)) (eq (get $seen $path) "") }}
{{- fail (printf "node.%s: %s is %s too" $name $path $owner) }}
{{- end }}
{{- $_ := set $seen $path $name }}
{{- end }}
{{- range $node.extraArgs }}
{{- if not (hasPrefix "--" .) }}{{ fail (printf "node.extraArgs: %q is no option; write --name=value" .) }}{{ end }}
{{- end }}
{{- end }}
{{- end }}

{{- define "berth.validate.server" -}}
{{- if and (ne (.Values.kubernetesServicePort | toString) "") (not .Values.kubernetesServiceHost) }}
{{- fail "kubernetesServicePort: needs kubernetesServiceHost" }}
{{- end }}
{{- if and (eq .Values.flowControl.mode "always") (not (include "berth.flowControlVersion" .)) }}
{{- fail "flowControl.mode: always, but the server has no version of flowcontrol.apiserver.k8s.io from v1beta1 on" }}
{{- end }}
{{- end }}

{{- define "berth.validate.labels" -}}
{{- range $name, $labels := dict "commonLabels" .Values.commonLabels "controller.podLabels" .Values.controller.podLabels "node.podLabels" .Values.node.podLabels }}
{{- range $key := keys $labels }}
{{- if has $key (list "app.kubernetes.io/name" "app.kubernetes.io/component" "app.kubernetes.io/version" "app.kubernetes.io/managed-by" "helm.sh/chart") }}
{{- fail (printf "%s: %s is set by the chart" $name $key) }}
{{- end }}
{{- end }}
{{- end }}
{{- range $name, $annotations := dict "controller.podAnnotations" .Values.controller.podAnnotations "node.podAnnotations" .Values.node.podAnnotations }}
{{- range $key := keys $annotations }}
{{- if has $key (list "prometheus.io/scrape" "prometheus.io/port" "container.apparmor.security.beta.kubernetes.io/node") }}
{{- fail (printf "%s: %s is set by the chart" $name $key) }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{- define "berth.validate.pools" -}}
{{- $seen := dict }}
{{- range $index, $pool := .Values.pools }}
{{- $where := printf "pools[%d]" $index }}
{{- if or (gt (len $pool.name) 63) (not (regexMatch "^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$" $pool.name)) }}
{{- fail (printf "%s.name: %q is no name for a pool: lower-case letters, digits, - and ., at most 63" $where $pool.name) }}
{{- end }}
{{- if hasKey $seen $pool.name }}{{ fail (printf "%s.name: pools[%v] is called %q too" $where (get $seen $pool.name) $pool.name) }}{{ end }}
{{- $_ := set $seen $pool.name $index }}
{{- $where = printf "%s (%s).spec" $where $pool.name }}
{{- $subnet := $pool.spec.subnet | default "" }}
{{- if not (regexMatch "^[0-9a-f.:]+/[0-9]{1,3}$" $subnet) }}
{{- fail (printf "%s.subnet: %q is no prefix such as 10.19.120.0/22 or fd00:120::/64" $where $subnet) }}
{{- end }}
{{- $isSix := contains ":" $subnet }}
{{- if gt (splitList "/" $subnet | last | atoi) (ternary 128 32 $isSix) }}
{{- fail (printf "%s.subnet: %s is longer than an address" $where $subnet) }}
{{- end }}
{{- with $pool.spec.gateway }}
{{- if ne (contains ":" .) $isSix }}{{ fail (printf "%s.gateway: %s is of another family than %s" $where . $subnet) }}{{ end }}
{{- end }}
{{- range $name := list "ranges" "exclude" }}
{{- range index $pool.spec $name }}
{{- if ne (contains ":" .) $isSix }}{{ fail (printf "%s.%s: %s is of another family than %s" $where $name . $subnet) }}{{ end }}
{{- end }}
{{- end }}
{{- include "berth.validate.duration" (list (printf "%s.cooldown" $where) ($pool.spec.cooldown | default "") 0 86400) }}
{{- end }}
{{- end }}

{{/* The newest version of flowcontrol.apiserver.k8s.io that the server has and this chart knows, or nothing. */}}
{{- define "berth.flowControlVersion" -}}
{{- if include "berth.serves" (list . "flowcontrol.apiserver.k8s.io/v1" "FlowSchema" "1.29") -}}
v1
{{- else if include "berth.serves" (list . "flowcontrol.apiserver.k8s.io/v1beta3" "FlowSchema" "1.26") -}}
v1beta3
{{- else if include "berth.serves" (list . "flowcontrol.apiserver.k8s.io/v1beta2" "FlowSchema" "1.23") -}}
v1beta2
{{- else if include "berth.serves" (list . "flowcontrol.apiserver.k8s.io/v1beta1" "FlowSchema" "1.20") -}}
v1beta1
{{- end -}}
{{- end }}
