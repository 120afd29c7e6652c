package main

import (
	"fmt"
	"path"
	"regexp"
	"sort"
	"strings"

	"sigs.k8s.io/yaml"
)

// The order in which Helm installs.
var installOrder = []string{
	"PriorityClass", "Namespace", "NetworkPolicy", "ResourceQuota", "LimitRange", "PodSecurityPolicy",
	"PodDisruptionBudget", "ServiceAccount", "Secret", "SecretList", "ConfigMap", "StorageClass", "PersistentVolume",
	"PersistentVolumeClaim", "CustomResourceDefinition", "ClusterRole", "ClusterRoleList", "ClusterRoleBinding",
	"ClusterRoleBindingList", "Role", "RoleList", "RoleBinding", "RoleBindingList", "Service", "DaemonSet", "Pod",
	"ReplicationController", "ReplicaSet", "Deployment", "HorizontalPodAutoscaler", "StatefulSet", "Job", "CronJob",
	"IngressClass", "Ingress", "APIService", "MutatingWebhookConfiguration", "ValidatingWebhookConfiguration",
}

type object struct {
	source, kind, name, text string
}

func (o object) rank() int {
	for rank, kind := range installOrder {
		if kind == o.kind {
			return rank
		}
	}
	return len(installOrder)
}

var separator = regexp.MustCompile(`(?m)^---[ \t]*$`)

// objects reads the objects that the templates made. Each must be an object, and no two may have one name.
func objects(files map[string]string) ([]object, error) {
	var found []object
	for source, content := range files {
		if path.Ext(source) != ".yaml" {
			continue
		}
		for _, text := range separator.Split(content, -1) {
			text = strings.TrimSpace(text)
			var head struct {
				APIVersion string `json:"apiVersion"`
				Kind       string `json:"kind"`
				Metadata   struct {
					Name      string `json:"name"`
					Namespace string `json:"namespace"`
				} `json:"metadata"`
			}
			var whole interface{}
			if err := yaml.UnmarshalStrict([]byte(text), &whole); err != nil {
				return nil, fmt.Errorf("YAML parse error on %s: %v\n%s", source, err, text)
			}
			if whole == nil {
				continue
			}
			if err := yaml.Unmarshal([]byte(text), &head); err != nil {
				return nil, fmt.Errorf("%s: %v", source, err)
			}
			if head.APIVersion == "" || head.Kind == "" || head.Metadata.Name == "" {
				return nil, fmt.Errorf("%s: an object without apiVersion, kind or name:\n%s", source, text)
			}
			name := head.Metadata.Namespace + "/" + head.Metadata.Name
			found = append(found, object{source, head.Kind, name, text})
		}
	}
	sort.SliceStable(found, func(i, j int) bool {
		a, b := found[i], found[j]
		if a.rank() != b.rank() {
			return a.rank() < b.rank()
		}
		if a.kind != b.kind {
			return a.kind < b.kind
		}
		return a.source+"\x00"+a.name < b.source+"\x00"+b.name
	})
	for i := 1; i < len(found); i++ {
		if found[i].kind == found[i-1].kind && found[i].name == found[i-1].name {
			return nil, fmt.Errorf("two objects %s %s", found[i].kind, found[i].name)
		}
	}
	return found, nil
}

func manifest(files map[string]string, withSources bool) (string, error) {
	found, err := objects(files)
	if err != nil {
		return "", err
	}
	var output strings.Builder
	for _, o := range found {
		output.WriteString("---\n")
		if withSources {
			fmt.Fprintf(&output, "# Source: %s\n", o.source)
		}
		output.WriteString(o.text + "\n")
	}
	return output.String(), nil
}
