package main

import (
	"fmt"
	"strings"
)

// Keywords of a schema that the reference shows, or that say nothing to its readers.
var known = map[string]bool{
	"description": true, "type": true, "required": true, "properties": true, "items": true, "default": true,
	"enum": true, "format": true, "anyOf": true, "pattern": true, "minimum": true, "maximum": true, "minLength": true,
	"maxLength": true, "minItems": true, "maxItems": true, "maxProperties": true, "additionalProperties": true,
	"nullable":                 true,
	"x-kubernetes-validations": true, "x-kubernetes-list-type": true, "x-kubernetes-list-map-keys": true,
	"x-kubernetes-map-type": true, "x-kubernetes-int-or-string": true, "x-kubernetes-preserve-unknown-fields": true,
}

func check(schema mapping) {
	for _, item := range schema.items {
		if !known[fmt.Sprint(item.Key)] {
			fail(schema.path, "hack/api-reference does not know the keyword %v", item.Key)
		}
	}
}

// typeOf is `string`, or `list of string`.
func typeOf(schema mapping) string {
	check(schema)
	switch name := schema.text("type"); name {
	case "array":
		return "list of " + typeOf(schema.child("items"))
	case "object":
		if values := schema.child("additionalProperties"); len(values.items) > 0 {
			return "map of " + typeOf(values)
		}
		return name
	case "":
		if schema.text("x-kubernetes-int-or-string") == "true" {
			return "integer or string"
		}
		fail(schema.path, "has no type")
		return ""
	default:
		return name
	}
}

// limits says what a value must be, a sentence each.
func limits(schema mapping) []string {
	check(schema)
	var found []string
	say := func(format string, arguments ...interface{}) {
		found = append(found, fmt.Sprintf(format, arguments...))
	}
	if schema.has("default") {
		say("Default `%s`.", schema.text("default"))
	}
	if values := schema.texts("enum"); len(values) > 0 {
		say("One of %s.", quoted(values))
	}
	if formats := formatsOf(schema); len(formats) > 0 {
		say("Format %s.", strings.Join(formats, " or "))
	}
	if limit := between(schema, "minimum", "maximum"); limit != "" {
		say("%s.", limit)
	}
	if limit := between(schema, "minLength", "maxLength"); limit != "" {
		say("%s characters.", limit)
	}
	if limit := between(schema, "minItems", "maxItems"); limit != "" {
		say("%s items.", limit)
	}
	if limit := between(schema, "minProperties", "maxProperties"); limit != "" {
		say("%s members.", limit)
	}
	if pattern := schema.text("pattern"); pattern != "" {
		say("Pattern %s.", quoted([]string{pattern}))
	}
	if keys := schema.texts("x-kubernetes-list-map-keys"); len(keys) > 0 {
		say("One for each %s.", quoted(keys))
	}
	if items := schema.child("items"); len(items.items) > 0 && items.text("type") != "object" {
		if each := limits(items); len(each) > 0 {
			say("Each: %s", strings.Join(each, " "))
		}
	}
	return found
}

func between(schema mapping, least, most string) string {
	switch {
	case schema.has(least) && schema.has(most):
		return fmt.Sprintf("%s to %s", schema.text(least), schema.text(most))
	case schema.has(least):
		return "At least " + schema.text(least)
	case schema.has(most):
		return "At most " + schema.text(most)
	default:
		return ""
	}
}

// formatsOf leaves out those that say no more than the type.
func formatsOf(schema mapping) []string {
	var found []string
	add := func(format string) {
		if format != "" && format != "int64" && format != "int32" {
			found = append(found, format)
		}
	}
	add(schema.text("format"))
	for _, choice := range schema.mappings("anyOf") {
		check(choice)
		add(choice.text("format"))
	}
	return found
}

func rulesOf(schema mapping, path string) []rule {
	var found []rule
	for _, item := range schema.mappings("x-kubernetes-validations") {
		found = append(found, rule{path, item.text("message"), item.text("rule")})
	}
	return found
}
