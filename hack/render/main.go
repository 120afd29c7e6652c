// Command render writes what `helm template` would write for a chart: the same values, functions, objects and order,
// for charts that keep to plain templates. hack/render.sh builds and runs it, and has the help.
package main

import (
	"flag"
	"fmt"
	"os"
	"strings"
)

type list []string

func (l *list) String() string { return strings.Join(*l, ",") }

func (l *list) Set(text string) error {
	*l = append(*l, text)
	return nil
}

type options struct {
	chart       string
	release     string
	namespace   string
	isUpgrade   bool
	withNotes   bool
	withSources bool
	kubeVersion string
	apiVersions list
	sets        assignments
}

func parse(arguments []string) (options, error) {
	var o options
	var files list
	flags := flag.NewFlagSet("render", flag.ContinueOnError)
	flags.StringVar(&o.release, "name", "berth", "name of the release")
	flags.StringVar(&o.namespace, "namespace", "berth-system", "namespace of the release")
	flags.StringVar(&o.kubeVersion, "kube-version", "v1.31.0", "version of the API server")
	flags.Var(&o.apiVersions, "api-versions", "more API versions of the server: group/version or group/version/Kind")
	flags.Var(&files, "values", "a file of values")
	flags.Var(assignment{&o.sets, typed}, "set", "path=value")
	flags.Var(assignment{&o.sets, text}, "set-string", "path=value, the value always a string")
	flags.Var(assignment{&o.sets, document}, "set-json", "path=JSON")
	flags.BoolVar(&o.isUpgrade, "is-upgrade", false, "as in an upgrade")
	flags.BoolVar(&o.withNotes, "notes", false, "NOTES.txt alone")
	flags.BoolVar(&o.withSources, "sources", true, "a comment with the template's name above each object")
	// The chart may stand before, between or after the options.
	for len(arguments) > 0 {
		if err := flags.Parse(arguments); err != nil {
			return o, err
		}
		if arguments = flags.Args(); len(arguments) > 0 {
			if o.chart != "" {
				return o, fmt.Errorf("one chart only: %q and %q", o.chart, arguments[0])
			}
			o.chart, arguments = arguments[0], arguments[1:]
		}
	}
	if o.chart == "" {
		return o, fmt.Errorf("which chart?")
	}
	o.sets.files = files
	return o, nil
}

func render(o options) (string, error) {
	chart, err := load(o.chart)
	if err != nil {
		return "", err
	}
	capabilities, err := newCapabilities(o.kubeVersion, o.apiVersions)
	if err != nil {
		return "", err
	}
	if err := chart.checkKubeVersion(capabilities); err != nil {
		return "", err
	}
	values, err := o.sets.values(chart.values)
	if err != nil {
		return "", err
	}
	if err := chart.validate(values); err != nil {
		return "", err
	}
	files, err := newEngine(chart).render(map[string]interface{}{
		"Chart":        chart.metadata,
		"Capabilities": capabilities,
		"Files":        chart.files,
		"Values":       values,
		"Release": map[string]interface{}{
			"Name": o.release, "Namespace": o.namespace, "Service": "Helm", "Revision": 1,
			"IsInstall": !o.isUpgrade, "IsUpgrade": o.isUpgrade,
		},
	})
	if err != nil {
		return "", err
	}
	if o.withNotes {
		return files[chart.name()+"/templates/NOTES.txt"], nil
	}
	return manifest(files, o.withSources)
}

func main() {
	if isCheck, err := check(os.Args[1:]); isCheck {
		if err != nil {
			fmt.Fprintf(os.Stderr, "render: error: %v\n", err)
			os.Exit(1)
		}
		return
	}
	o, err := parse(os.Args[1:])
	if err == flag.ErrHelp {
		os.Exit(2)
	}
	var output string
	if err == nil {
		output, err = render(o)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "render: error: %v\n", err)
		os.Exit(1)
	}
	os.Stdout.WriteString(output)
}
