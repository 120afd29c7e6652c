package main

import (
	"fmt"
	"strings"

	"github.com/Masterminds/semver"
)

type kubeVersion struct{ Version, Major, Minor string }

func (v kubeVersion) String() string     { return v.Version }
func (v kubeVersion) GitVersion() string { return v.Version }

type versionSet []string

func (s versionSet) Has(version string) bool {
	for _, known := range s {
		if known == version {
			return true
		}
	}
	return false
}

type capabilities struct {
	KubeVersion kubeVersion
	APIVersions versionSet
	HelmVersion struct{ Version string }
}

// groupVersions are those that Helm assumes without a cluster: it knows no kinds then.
var groupVersions = versionSet{
	"v1", "admissionregistration.k8s.io/v1", "admissionregistration.k8s.io/v1beta1", "apiextensions.k8s.io/v1",
	"apiextensions.k8s.io/v1beta1", "apps/v1", "authentication.k8s.io/v1", "authorization.k8s.io/v1", "autoscaling/v2",
	"batch/v1", "certificates.k8s.io/v1", "coordination.k8s.io/v1", "discovery.k8s.io/v1", "events.k8s.io/v1",
	"flowcontrol.apiserver.k8s.io/v1", "flowcontrol.apiserver.k8s.io/v1beta1", "flowcontrol.apiserver.k8s.io/v1beta2",
	"flowcontrol.apiserver.k8s.io/v1beta3", "networking.k8s.io/v1", "node.k8s.io/v1", "policy/v1", "policy/v1beta1",
	"rbac.authorization.k8s.io/v1", "scheduling.k8s.io/v1", "storage.k8s.io/v1",
}

func newCapabilities(version string, more []string) (*capabilities, error) {
	parsed, err := semver.NewVersion(version)
	if err != nil {
		return nil, fmt.Errorf("--kube-version %s: %v", version, err)
	}
	c := &capabilities{KubeVersion: kubeVersion{
		Version: "v" + strings.TrimPrefix(version, "v"),
		Major:   fmt.Sprint(parsed.Major()), Minor: fmt.Sprint(parsed.Minor()),
	}}
	c.HelmVersion.Version = "v3.16.0"
	if !isComplete(more) {
		c.APIVersions = append(c.APIVersions, groupVersions...)
	}
	for _, text := range more {
		for _, version := range strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' || r == '\n' }) {
			c.APIVersions = append(c.APIVersions, version)
		}
	}
	return c, nil
}

// isComplete tells whether versions are those of an API server, which names kinds, too.
func isComplete(versions []string) bool {
	for _, text := range versions {
		if text == "v1/Pod" || strings.HasPrefix(text, "v1/Pod,") || strings.Contains(text, ",v1/Pod") {
			return true
		}
	}
	return false
}
