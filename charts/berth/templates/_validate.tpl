{{- define "berth.validate" -}}{{- end }}
