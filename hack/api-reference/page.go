package main

import (
	"fmt"
	"strings"
)

type page struct{ builder strings.Builder }

func (p *page) text() string { return p.builder.String() }

func (p *page) line(format string, arguments ...interface{}) {
	fmt.Fprintf(&p.builder, format+"\n", arguments...)
}

func (p *page) preface() {
	p.line("# API reference")
	p.line("")
	p.line("The custom resources, as `config/crd` defines them. `hack/api-reference.sh` makes this page from there, and")
	p.line("`hack/test.sh` fails when the two differ.")
	p.line("")
	p.line("The API server checks types, required fields, limits and patterns. The rules below each table are in CEL, which")
	p.line("servers check from Kubernetes 1.25 on; the controller's webhook checks those of pools on older servers too.")
}

// resource is one kind, with a section for each version that is served.
func (p *page) resource(spec mapping) {
	names := spec.child("names")
	for _, version := range spec.mappings("versions") {
		if version.text("served") != "true" {
			continue
		}
		schema := version.child("schema").child("openAPIV3Schema")
		p.line("")
		p.line("## %s", names.text("kind"))
		p.line("")
		p.line("`apiVersion: %s/%s`. %s", spec.text("group"), version.text("name"), schema.text("description"))
		p.line("")
		p.line("| | |")
		p.line("|---|---|")
		p.line("| Scope | %s |", strings.ToLower(spec.text("scope")))
		p.line("| Names for kubectl | `%s`, `%s`%s |", names.text("plural"), names.text("singular"), quotedAfter(names.texts("shortNames")))
		if categories := names.texts("categories"); len(categories) > 0 {
			p.line("| Listed with | %s |", strings.TrimPrefix(quotedAfter(prefixed("kubectl get ", categories)), ", "))
		}
		p.columns(version)
		if subresources := version.child("subresources"); len(subresources.items) > 0 {
			var found []string
			for _, item := range subresources.items {
				found = append(found, fmt.Sprint(item.Key))
			}
			p.line("| Subresources | %s |", quoted(found))
		}
		if fields := version.mappings("selectableFields"); len(fields) > 0 {
			var found []string
			for _, field := range fields {
				found = append(found, strings.TrimPrefix(field.text("jsonPath"), "."))
			}
			p.line("| `--field-selector`, from Kubernetes 1.31 on | %s |", quoted(found))
		}
		p.line("")
		p.line("| Field | Type | |")
		p.line("|---|---|---|")
		rules := p.properties(schema, "")
		rules = append(rules, rulesOf(schema, "")...)
		p.rules(rules)
	}
}

func (p *page) columns(version mapping) {
	var always, wide []string
	for _, column := range version.mappings("additionalPrinterColumns") {
		name := strings.ToUpper(column.text("name"))
		if column.has("priority") && column.text("priority") != "0" {
			wide = append(wide, name)
		} else {
			always = append(always, name)
		}
	}
	if len(always) > 0 {
		p.line("| Columns | %s |", strings.Join(always, ", "))
	}
	if len(wide) > 0 {
		p.line("| Columns of `-o wide` | also %s |", strings.Join(wide, ", "))
	}
}

// rule is one expression of CEL and the path of what it is about.
type rule struct{ path, message, expression string }

func (p *page) rules(rules []rule) {
	if len(rules) == 0 {
		return
	}
	p.line("")
	p.line("| Rule of | Message when it is broken | Expression |")
	p.line("|---|---|---|")
	for _, rule := range rules {
		path := "the object"
		if rule.path != "" {
			path = quoted([]string{rule.path})
		}
		p.line("| %s | %s | %s |", path, cell(rule.message), quoted([]string{rule.expression}))
	}
}

// properties writes a row for each field below schema, and returns their rules.
func (p *page) properties(schema mapping, path string) []rule {
	var rules []rule
	required := map[string]bool{}
	for _, name := range schema.texts("required") {
		required[name] = true
	}
	for _, item := range schema.child("properties").items {
		name := fmt.Sprint(item.Key)
		field := schema.child("properties").child(name)
		fieldPath := name
		if path != "" {
			fieldPath = path + "." + name
		}
		// What every object of Kubernetes has.
		if path == "" && (name == "apiVersion" || name == "kind") {
			continue
		}
		if fieldPath != "metadata" {
			p.row(fieldPath, field, required[name])
		}
		rules = append(rules, p.below(field, fieldPath)...)
	}
	return rules
}

// below is what belongs to a field: its own rules, and the rows of the fields in it.
func (p *page) below(field mapping, path string) []rule {
	rules := rulesOf(field, path)
	rules = append(rules, p.properties(field, path)...)
	if items := field.child("items"); len(items.items) > 0 {
		rules = append(rules, p.below(items, path+"[]")...)
	}
	return rules
}

func (p *page) row(path string, field mapping, isRequired bool) {
	var parts []string
	if description := field.text("description"); description != "" {
		if !strings.HasSuffix(description, ".") {
			description += "."
		}
		parts = append(parts, cell(description))
	}
	if isRequired {
		parts = append(parts, "Required.")
	}
	parts = append(parts, limits(field)...)
	p.line("| %s | %s | %s |", quoted([]string{path}), typeOf(field), strings.Join(parts, " "))
}

// cell is text for a cell of a table.
func cell(text string) string {
	return strings.ReplaceAll(strings.Join(strings.Fields(text), " "), "|", `\|`)
}

// quoted is a list of code, separated by commas.
func quoted(texts []string) string {
	var found []string
	for _, text := range texts {
		found = append(found, "`"+cell(text)+"`")
	}
	return strings.Join(found, ", ")
}

func quotedAfter(texts []string) string {
	if len(texts) == 0 {
		return ""
	}
	return ", " + quoted(texts)
}

func prefixed(prefix string, texts []string) []string {
	var found []string
	for _, text := range texts {
		found = append(found, prefix+text)
	}
	return found
}
