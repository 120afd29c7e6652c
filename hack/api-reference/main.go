// Writes the API reference from custom resource definitions, as Markdown on standard output.
//
// Usage: api-reference FILE...
//
// Fields are listed in the order of the files. A keyword of the schema that it does not know is an error, so that nothing
// is left out of the reference unseen.
package main

import (
	"fmt"
	"os"

	yaml "gopkg.in/yaml.v2"
)

// A mapping in the order of its file, which names what is wrong by its path.
type mapping struct {
	path  string
	items yaml.MapSlice
}

func fail(path, format string, arguments ...interface{}) {
	fmt.Fprintf(os.Stderr, "api-reference: %s: %s\n", path, fmt.Sprintf(format, arguments...))
	os.Exit(1)
}

func (m mapping) value(key string) interface{} {
	for _, item := range m.items {
		if item.Key == key {
			return item.Value
		}
	}
	return nil
}

func (m mapping) has(key string) bool { return m.value(key) != nil }

func (m mapping) child(key string) mapping {
	path := m.path + "." + key
	switch value := m.value(key).(type) {
	case nil:
		return mapping{path: path}
	case yaml.MapSlice:
		return mapping{path, value}
	default:
		fail(path, "expected a mapping, found %T", value)
		return mapping{}
	}
}

func (m mapping) list(key string) []interface{} {
	switch value := m.value(key).(type) {
	case nil:
		return nil
	case []interface{}:
		return value
	default:
		fail(m.path+"."+key, "expected a list, found %T", value)
		return nil
	}
}

func (m mapping) mappings(key string) []mapping {
	var found []mapping
	for index, value := range m.list(key) {
		path := fmt.Sprintf("%s.%s[%d]", m.path, key, index)
		items, ok := value.(yaml.MapSlice)
		if !ok {
			fail(path, "expected a mapping, found %T", value)
		}
		found = append(found, mapping{path, items})
	}
	return found
}

func (m mapping) texts(key string) []string {
	var found []string
	for _, value := range m.list(key) {
		found = append(found, fmt.Sprint(value))
	}
	return found
}

// text is the value as text, empty where there is none.
func (m mapping) text(key string) string {
	if value := m.value(key); value != nil {
		return fmt.Sprint(value)
	}
	return ""
}

func main() {
	var output page
	output.preface()
	for _, path := range os.Args[1:] {
		content, err := os.ReadFile(path)
		if err != nil {
			fail(path, "%v", err)
		}
		root := mapping{path: path}
		if err := yaml.UnmarshalStrict(content, &root.items); err != nil {
			fail(path, "%v", err)
		}
		if root.text("kind") != "CustomResourceDefinition" {
			fail(path, "no CustomResourceDefinition")
		}
		output.resource(root.child("spec"))
	}
	os.Stdout.WriteString(output.text())
}
