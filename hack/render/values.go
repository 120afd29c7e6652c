package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"

	"sigs.k8s.io/yaml"
)

type kind int

const (
	typed kind = iota
	text
	document
)

// assignments are the values that a user gives: files first, then single ones in their order.
type assignments struct {
	files   []string
	singles []single
}

type single struct {
	kind kind
	text string
}

// assignment is a flag that adds to them.
type assignment struct {
	to   *assignments
	kind kind
}

func (a assignment) String() string { return "" }

func (a assignment) Set(text string) error {
	a.to.singles = append(a.to.singles, single{a.kind, text})
	return nil
}

// values puts the user's values over the chart's. Null takes a value away.
func (a assignments) values(defaults map[string]interface{}) (map[string]interface{}, error) {
	given := map[string]interface{}{}
	for _, file := range a.files {
		content, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		var values map[string]interface{}
		if err := yaml.Unmarshal(content, &values); err != nil {
			return nil, fmt.Errorf("%s: %v", file, err)
		}
		given = merge(given, values)
	}
	for _, single := range a.singles {
		if err := single.apply(given); err != nil {
			return nil, fmt.Errorf("--set %s: %v", single.text, err)
		}
	}
	return withoutNull(merge(copied(defaults), given)), nil
}

func copied(values map[string]interface{}) map[string]interface{} {
	return merge(map[string]interface{}{}, values)
}

func merge(under, over map[string]interface{}) map[string]interface{} {
	for key, value := range over {
		if table, ok := value.(map[string]interface{}); ok {
			old, _ := under[key].(map[string]interface{})
			if old == nil {
				old = map[string]interface{}{}
			}
			under[key] = merge(old, table)
		} else {
			under[key] = value
		}
	}
	return under
}

func withoutNull(values map[string]interface{}) map[string]interface{} {
	for key, value := range values {
		if value == nil {
			delete(values, key)
		} else if table, ok := value.(map[string]interface{}); ok {
			withoutNull(table)
		}
	}
	return values
}

// apply reads `a.b[0].c=value,d={x,y}`; `\` makes the next character a plain one.
func (s single) apply(values map[string]interface{}) error {
	parts := []string{s.text}
	if s.kind != document {
		parts = split(s.text, ',')
	}
	for _, part := range parts {
		sides := splitOnce(part, '=')
		if len(sides) != 2 {
			return fmt.Errorf("%q has no =", part)
		}
		value, err := s.parse(sides[1])
		if err != nil {
			return err
		}
		if _, err := assign(values, steps(sides[0]), value); err != nil {
			return err
		}
	}
	return nil
}

func (s single) parse(written string) (interface{}, error) {
	switch {
	case s.kind == document:
		var value interface{}
		err := json.Unmarshal([]byte(written), &value)
		return value, err
	case strings.HasPrefix(written, "{") && strings.HasSuffix(written, "}"):
		elements := []interface{}{}
		if inner := written[1 : len(written)-1]; inner != "" {
			for _, element := range split(inner, ',') {
				value, err := s.parse(element)
				if err != nil {
					return nil, err
				}
				elements = append(elements, value)
			}
		}
		return elements, nil
	}
	plain := unescaped(written)
	if s.kind == text {
		return plain, nil
	}
	switch written {
	case "true":
		return true, nil
	case "false":
		return false, nil
	case "null":
		return nil, nil
	case "0":
		return int64(0), nil
	}
	// A leading zero is a sign that it is meant as a text.
	if number, err := strconv.ParseInt(written, 10, 64); err == nil && written[0] != '0' {
		return number, nil
	}
	return plain, nil
}

// assign puts a value at a path of keys (string) and indices (int) and returns the container.
func assign(container interface{}, path []interface{}, value interface{}) (interface{}, error) {
	if len(path) == 0 {
		return value, nil
	}
	switch step := path[0].(type) {
	case string:
		table, ok := container.(map[string]interface{})
		if !ok {
			table = map[string]interface{}{}
		}
		inner, err := assign(table[step], path[1:], value)
		table[step] = inner
		return table, err
	case int:
		elements, _ := container.([]interface{})
		if step > 1000 {
			return nil, fmt.Errorf("index %d is too large", step)
		}
		for len(elements) <= step {
			elements = append(elements, nil)
		}
		inner, err := assign(elements[step], path[1:], value)
		elements[step] = inner
		return elements, err
	}
	return nil, fmt.Errorf("impossible path")
}

func steps(written string) []interface{} {
	var found []interface{}
	for _, part := range split(written, '.') {
		key := part
		var indices []interface{}
		for strings.HasSuffix(key, "]") && !strings.HasSuffix(key, `\]`) {
			open := strings.LastIndex(key, "[")
			if open < 0 {
				break
			}
			index, err := strconv.Atoi(key[open+1 : len(key)-1])
			if err != nil || index < 0 {
				break
			}
			indices = append([]interface{}{index}, indices...)
			key = key[:open]
		}
		if key != "" {
			found = append(found, unescaped(key))
		}
		found = append(found, indices...)
	}
	return found
}

// split cuts at a separator outside of braces and not behind a backslash.
func split(text string, separator rune) []string {
	var parts []string
	var part strings.Builder
	depth, isEscaped := 0, false
	for _, r := range text {
		switch {
		case isEscaped:
			isEscaped = false
		case r == '\\':
			isEscaped = true
		case r == '{':
			depth++
		case r == '}':
			depth--
		case r == separator && depth == 0:
			parts = append(parts, part.String())
			part.Reset()
			continue
		}
		part.WriteRune(r)
	}
	return append(parts, part.String())
}

func splitOnce(text string, separator rune) []string {
	parts := split(text, separator)
	if len(parts) < 2 {
		return parts
	}
	return []string{parts[0], strings.Join(parts[1:], string(separator))}
}

func unescaped(text string) string {
	var plain strings.Builder
	isEscaped := false
	for _, r := range text {
		if r == '\\' && !isEscaped {
			isEscaped = true
			continue
		}
		isEscaped = false
		plain.WriteRune(r)
	}
	return plain.String()
}
