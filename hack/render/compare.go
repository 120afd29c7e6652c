package main

import (
	"fmt"
	"os"
	"reflect"
	"sort"
	"strings"

	"sigs.k8s.io/yaml"
)

// chartLabels and chartAnnotations are what a chart adds to the objects of config/.
var chartLabels = []string{
	"app.kubernetes.io/version", "app.kubernetes.io/managed-by", "helm.sh/chart",
}
var chartAnnotations = []string{"helm.sh/resource-policy"}

// compare says where the objects of two files differ, but for what a chart adds and for the objects that are named as
// those of one file alone. What is named so and is not, is a difference too.
func compare(first, second string, alone []string) ([]string, error) {
	left, err := read(first)
	if err != nil {
		return nil, err
	}
	right, err := read(second)
	if err != nil {
		return nil, err
	}
	expected := map[string]bool{}
	for _, name := range alone {
		expected[name] = true
	}
	var found []string
	for name, object := range left {
		other, ok := right[name]
		switch {
		case ok:
			differences(name, object, other, &found)
		case expected[name]:
			delete(expected, name)
		default:
			found = append(found, fmt.Sprintf("%s: only in %s", name, first))
		}
	}
	for name := range right {
		if _, ok := left[name]; ok {
			continue
		}
		if expected[name] {
			delete(expected, name)
		} else {
			found = append(found, fmt.Sprintf("%s: only in %s", name, second))
		}
	}
	for name := range expected {
		found = append(found, fmt.Sprintf("%s: expected in one of the two alone", name))
	}
	sort.Strings(found)
	return found, nil
}

func read(file string) (map[string]interface{}, error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	objects := map[string]interface{}{}
	for _, text := range separator.Split(string(content), -1) {
		var object map[string]interface{}
		if err := yaml.UnmarshalStrict([]byte(text), &object); err != nil {
			return nil, fmt.Errorf("%s: %v", file, err)
		}
		if object == nil {
			continue
		}
		metadata, _ := object["metadata"].(map[string]interface{})
		if metadata == nil {
			return nil, fmt.Errorf("%s: an object without metadata", file)
		}
		without(metadata, "labels", chartLabels)
		without(metadata, "annotations", chartAnnotations)
		name := fmt.Sprintf("%v/%v", object["kind"], metadata["name"])
		if objects[name] != nil {
			return nil, fmt.Errorf("%s: two objects %s", file, name)
		}
		objects[name] = object
	}
	return objects, nil
}

func without(metadata map[string]interface{}, member string, keys []string) {
	table, _ := metadata[member].(map[string]interface{})
	for _, key := range keys {
		delete(table, key)
	}
	if len(table) == 0 {
		delete(metadata, member)
	}
}

func differences(path string, left, right interface{}, found *[]string) {
	if reflect.DeepEqual(left, right) {
		return
	}
	switch l := left.(type) {
	case map[string]interface{}:
		r, ok := right.(map[string]interface{})
		if !ok {
			break
		}
		keys := map[string]bool{}
		for key := range l {
			keys[key] = true
		}
		for key := range r {
			keys[key] = true
		}
		for key := range keys {
			differences(path+"."+key, l[key], r[key], found)
		}
		return
	case []interface{}:
		r, ok := right.([]interface{})
		if !ok || len(l) != len(r) {
			break
		}
		for i := range l {
			differences(fmt.Sprintf("%s[%d]", path, i), l[i], r[i], found)
		}
		return
	}
	*found = append(*found, fmt.Sprintf("%s: %s / %s", path, toJSON(left), toJSON(right)))
}

// keys lists the paths of a chart's values that are no tables of the schema's own, as the values and as the schema have
// them, and how the table of the README begins for each. Tables that may hold anything are one value each.
func keys(folder string) (values, schema, rows []string, err error) {
	c, err := load(folder)
	if err != nil {
		return nil, nil, nil, err
	}
	var root map[string]interface{}
	if err := yaml.Unmarshal(c.schema, &root); err != nil {
		return nil, nil, nil, fmt.Errorf("values.schema.json: %v", err)
	}
	var walkSchema func(path string, node map[string]interface{})
	tables := map[string]bool{}
	walkSchema = func(path string, node map[string]interface{}) {
		properties, ok := node["properties"].(map[string]interface{})
		if !ok {
			schema = append(schema, path)
			return
		}
		tables[path] = true
		if node["additionalProperties"] != false && path != "" {
			err = fmt.Errorf("values.schema.json: %s takes anything", path)
		}
		for key, inner := range properties {
			walkSchema(strings.TrimPrefix(path+"."+key, "."), inner.(map[string]interface{}))
		}
	}
	walkSchema("", root)
	var walkValues func(path string, value interface{})
	walkValues = func(path string, value interface{}) {
		table, ok := value.(map[string]interface{})
		if !ok || !tables[path] {
			values = append(values, path)
			rows = append(rows, fmt.Sprintf("| `%s` | %s |", path, shown(value)))
			return
		}
		for key, inner := range table {
			walkValues(strings.TrimPrefix(path+"."+key, "."), inner)
		}
	}
	walkValues("", c.values)
	sort.Strings(values)
	sort.Strings(schema)
	sort.Strings(rows)
	return values, schema, rows, err
}

// shown is a default as the table of a chart's README has it.
func shown(value interface{}) string {
	text := toJSON(value)
	switch {
	case text == `""`:
		return "–"
	case len(text) > 30:
		return "see `values.yaml`"
	}
	if plain, ok := value.(string); ok {
		text = plain
	}
	return "`" + text + "`"
}

// check runs the subcommands that hack/chart-check.sh needs; false when the arguments are none of them.
func check(arguments []string) (bool, error) {
	if len(arguments) >= 3 && arguments[0] == "compare" {
		found, err := compare(arguments[1], arguments[2], arguments[3:])
		if err == nil && len(found) > 0 {
			err = fmt.Errorf("they differ:\n%s", strings.Join(found, "\n"))
		}
		return true, err
	}
	if len(arguments) == 3 && arguments[0] == "keys" {
		values, schema, rows, err := keys(arguments[1])
		if err == nil {
			list := map[string][]string{"values": values, "schema": schema, "rows": rows}[arguments[2]]
			fmt.Println(strings.Join(list, "\n"))
		}
		return true, err
	}
	if len(arguments) == 3 && arguments[0] == "schema" {
		text, err := schemaOfValues(arguments[1], arguments[2])
		if err == nil {
			fmt.Print(text)
		}
		return true, err
	}
	return false, nil
}
