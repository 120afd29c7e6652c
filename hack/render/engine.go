package main

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"path"
	"sort"
	"strings"
	"text/template"

	"github.com/Masterminds/sprig"
	"sigs.k8s.io/yaml"
)

const maximumDepth = 1000

// files are those of a chart that are not templates.
type files map[string][]byte

func (f files) Get(name string) string      { return string(f[name]) }
func (f files) GetBytes(name string) []byte { return f[name] }

func (f files) Glob(pattern string) files {
	found := files{}
	for name, content := range f {
		if ok, _ := path.Match(pattern, name); ok {
			found[name] = content
		}
	}
	return found
}

func (f files) Lines(name string) []string { return strings.Split(string(f[name]), "\n") }

func (f files) AsConfig() string {
	texts := map[string]string{}
	for name, content := range f {
		texts[path.Base(name)] = string(content)
	}
	return toYAML(texts)
}

func (f files) AsSecrets() string {
	texts := map[string]string{}
	for name, content := range f {
		texts[path.Base(name)] = base64.StdEncoding.EncodeToString(content)
	}
	return toYAML(texts)
}

type engine struct {
	chart    *chart
	template *template.Template
	depths   map[string]int
}

func newEngine(c *chart) *engine {
	e := &engine{chart: c, depths: map[string]int{}}
	e.template = template.New("chart").Option("missingkey=zero").Funcs(e.functions())
	return e
}

// render executes every template but the partial ones, whose file names begin with `_`.
func (e *engine) render(data map[string]interface{}) (map[string]string, error) {
	var names []string
	for name := range e.chart.templates {
		names = append(names, name)
	}
	// Deeper ones first, so that those above may define a name anew.
	sort.Slice(names, func(i, j int) bool {
		first, second := strings.Count(names[i], "/"), strings.Count(names[j], "/")
		return first > second || first == second && names[i] < names[j]
	})
	for _, name := range names {
		if _, err := e.template.New(name).Parse(e.chart.templates[name]); err != nil {
			return nil, fmt.Errorf("parse error at (%s): %v", name, err)
		}
	}
	rendered := map[string]string{}
	sort.Strings(names)
	for _, name := range names {
		if strings.HasPrefix(path.Base(name), "_") {
			continue
		}
		data["Template"] = map[string]interface{}{"Name": name, "BasePath": e.chart.name() + "/templates"}
		var output strings.Builder
		if err := e.template.ExecuteTemplate(&output, name, data); err != nil {
			return nil, err
		}
		rendered[name] = strings.ReplaceAll(output.String(), "<no value>", "")
	}
	return rendered, nil
}

func (e *engine) functions() template.FuncMap {
	functions := sprig.TxtFuncMap()
	delete(functions, "env")
	delete(functions, "expandenv")
	own := template.FuncMap{
		"toYaml": toYAML, "fromYaml": fromYAML, "fromYamlArray": fromYAMLArray, "toJson": toJSON, "fromJson": fromYAML,
		"fromJsonArray": fromYAMLArray, "include": e.include, "tpl": e.tpl, "required": required, "fail": fail,
		"lookup": lookup, "getHostByName": func(string) string { return "" },
	}
	for name, function := range own {
		functions[name] = function
	}
	return functions
}

func (e *engine) include(name string, data interface{}) (string, error) {
	if e.depths[name] > maximumDepth {
		return "", fmt.Errorf("unable to execute template %s: it includes itself without end", name)
	}
	e.depths[name]++
	defer func() { e.depths[name]-- }()
	var output strings.Builder
	err := e.template.ExecuteTemplate(&output, name, data)
	return output.String(), err
}

func (e *engine) tpl(text string, data interface{}) (string, error) {
	clone, err := e.template.Clone()
	if err != nil {
		return "", err
	}
	parsed, err := clone.New("gotpl").Parse(text)
	if err != nil {
		return "", fmt.Errorf("cannot parse template %q: %v", text, err)
	}
	var output strings.Builder
	if err := parsed.Execute(&output, data); err != nil {
		return "", err
	}
	return strings.ReplaceAll(output.String(), "<no value>", ""), nil
}

func required(message string, value interface{}) (interface{}, error) {
	if value == nil || value == "" {
		return nil, fmt.Errorf("%s", message)
	}
	return value, nil
}

func fail(message string) (string, error) { return "", fmt.Errorf("%s", message) }

// lookup finds nothing, as where there is no cluster.
func lookup(apiVersion, kind, namespace, name string) (map[string]interface{}, error) {
	return map[string]interface{}{}, nil
}

func toYAML(value interface{}) string {
	content, err := yaml.Marshal(value)
	if err != nil {
		return ""
	}
	return strings.TrimSuffix(string(content), "\n")
}

func fromYAML(text string) map[string]interface{} {
	value := map[string]interface{}{}
	if err := yaml.Unmarshal([]byte(text), &value); err != nil {
		value["Error"] = err.Error()
	}
	return value
}

func fromYAMLArray(text string) []interface{} {
	value := []interface{}{}
	if err := yaml.Unmarshal([]byte(text), &value); err != nil {
		value = []interface{}{err.Error()}
	}
	return value
}

func toJSON(value interface{}) string {
	content, err := json.Marshal(value)
	if err != nil {
		return ""
	}
	return string(content)
}
