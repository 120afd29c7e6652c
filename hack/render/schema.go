package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"sigs.k8s.io/yaml"
)

// What the schema of a custom resource and JSON schema mean alike.
var sharedKeywords = []string{
	"type", "required", "enum", "pattern", "minLength", "maxLength", "minimum", "maximum", "minItems", "maxItems",
	"maxProperties",
}

// schemaOfValues is the schema of a chart's values, in which the pools are what the custom resource says.
func schemaOfValues(folder, definition string) (string, error) {
	content, err := os.ReadFile(filepath.Join(folder, "values.schema.json"))
	if err != nil {
		return "", err
	}
	var schema map[string]interface{}
	if err := json.Unmarshal(content, &schema); err != nil {
		return "", fmt.Errorf("values.schema.json: %v", err)
	}
	pool, err := table(schema, "properties", "pools", "items", "properties")
	if err != nil {
		return "", err
	}
	if pool["spec"], err = specOfResource(definition); err != nil {
		return "", err
	}
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	err = encoder.Encode(schema)
	return text.String(), err
}

// specOfResource is the schema of the spec of a custom resource's last version.
func specOfResource(file string) (map[string]interface{}, error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var definition map[string]interface{}
	if err := yaml.Unmarshal(content, &definition); err != nil {
		return nil, fmt.Errorf("%s: %v", file, err)
	}
	spec, err := table(definition, "spec")
	if err != nil {
		return nil, err
	}
	versions, _ := spec["versions"].([]interface{})
	if len(versions) == 0 {
		return nil, fmt.Errorf("%s: no versions", file)
	}
	version, _ := versions[len(versions)-1].(map[string]interface{})
	node, err := table(version, "schema", "openAPIV3Schema", "properties", "spec")
	if err != nil {
		return nil, fmt.Errorf("%s: %v", file, err)
	}
	return strict(node), nil
}

// strict keeps what JSON schema understands, and allows no field that is not named.
func strict(node map[string]interface{}) map[string]interface{} {
	result := map[string]interface{}{}
	for _, keyword := range sharedKeywords {
		if value, ok := node[keyword]; ok {
			result[keyword] = value
		}
	}
	if items, ok := node["items"].(map[string]interface{}); ok {
		result["items"] = strict(items)
	}
	if values, ok := node["additionalProperties"].(map[string]interface{}); ok {
		result["additionalProperties"] = strict(values)
	}
	if properties, ok := node["properties"].(map[string]interface{}); ok {
		inner := map[string]interface{}{}
		for name, property := range properties {
			if schema, ok := property.(map[string]interface{}); ok {
				inner[name] = strict(schema)
			}
		}
		result["properties"] = inner
		result["additionalProperties"] = false
	}
	return result
}

func table(node map[string]interface{}, steps ...string) (map[string]interface{}, error) {
	for _, step := range steps {
		inner, ok := node[step].(map[string]interface{})
		if !ok {
			return nil, fmt.Errorf("no %s", step)
		}
		node = inner
	}
	return node, nil
}
