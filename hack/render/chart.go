package main

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"github.com/Masterminds/semver"
	"github.com/xeipuuv/gojsonschema"
	"sigs.k8s.io/yaml"
)

type chart struct {
	metadata  map[string]interface{}
	values    map[string]interface{}
	schema    []byte
	templates map[string]string // by `chart/templates/…`
	files     files
}

// load reads a chart from its folder. There are no archives, subcharts, dependencies or crds/ here.
func load(folder string) (*chart, error) {
	c := &chart{templates: map[string]string{}, files: files{}}
	err := filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		name, err := filepath.Rel(folder, path)
		if err != nil {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return c.take(filepath.ToSlash(name), content)
	})
	if err == nil && c.metadata == nil {
		err = fmt.Errorf("no Chart.yaml in %s", folder)
	}
	if err != nil {
		return nil, err
	}
	templates := map[string]string{}
	for name, content := range c.templates {
		templates[c.name()+"/"+name] = content
	}
	c.templates = templates
	return c, nil
}

func (c *chart) take(name string, content []byte) error {
	switch {
	case name == "Chart.yaml":
		var fields map[string]interface{}
		if err := yaml.UnmarshalStrict(content, &fields); err != nil {
			return fmt.Errorf("%s: %v", name, err)
		}
		// Templates see the fields of a Go struct.
		c.metadata = map[string]interface{}{}
		for key, value := range fields {
			key = strings.Replace(key, "apiVersion", "APIVersion", 1)
			c.metadata[strings.ToUpper(key[:1])+key[1:]] = value
		}
		if fields["apiVersion"] != "v2" || fields["name"] == nil || fields["version"] == nil {
			return fmt.Errorf("%s: apiVersion v2, name and version are required", name)
		}
		if _, err := semver.StrictNewVersion(fmt.Sprint(fields["version"])); err != nil {
			return fmt.Errorf("%s: version: %v", name, err)
		}
	case name == "values.yaml":
		if err := yaml.UnmarshalStrict(content, &c.values); err != nil {
			return fmt.Errorf("%s: %v", name, err)
		}
	case name == "values.schema.json":
		c.schema = content
	case name == "Chart.lock" || name == ".helmignore" || strings.HasPrefix(name, "ci/"):
	case strings.HasPrefix(name, "charts/") || strings.HasPrefix(name, "crds/"):
		return fmt.Errorf("%s: this renderer does not know %s", name, strings.SplitAfter(name, "/")[0])
	case strings.HasPrefix(name, "templates/"):
		c.templates[name] = string(content)
	default:
		c.files[name] = content
	}
	return nil
}

func (c *chart) name() string { return fmt.Sprint(c.metadata["Name"]) }

func (c *chart) checkKubeVersion(capabilities *capabilities) error {
	wanted, ok := c.metadata["KubeVersion"].(string)
	if !ok {
		return nil
	}
	constraint, err := semver.NewConstraint(wanted)
	if err != nil {
		return fmt.Errorf("kubeVersion %q: %v", wanted, err)
	}
	version, err := semver.NewVersion(capabilities.KubeVersion.Version)
	if err != nil {
		return err
	}
	if !constraint.Check(version) {
		return fmt.Errorf("chart requires kubeVersion: %s which is incompatible with Kubernetes %s", wanted, version)
	}
	return nil
}

// validate says what of the values is not as the schema wants it, with the library and the words of Helm.
func (c *chart) validate(values map[string]interface{}) error {
	if c.schema == nil {
		return nil
	}
	result, err := gojsonschema.Validate(gojsonschema.NewBytesLoader(c.schema), gojsonschema.NewGoLoader(values))
	if err != nil {
		return fmt.Errorf("values.schema.json: %v", err)
	}
	if result.Valid() {
		return nil
	}
	var problems []string
	for _, problem := range result.Errors() {
		problems = append(problems, fmt.Sprintf("- %s\n", problem))
	}
	sort.Strings(problems)
	return fmt.Errorf("values don't meet the specifications of the schema(s) in the following chart(s):\n%s:\n%s",
		c.name(), strings.Join(problems, ""))
}
