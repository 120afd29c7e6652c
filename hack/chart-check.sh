#!/usr/bin/env bash
# Checks the chart without a cluster and without Helm.
#
# Usage: hack/chart-check.sh [--update]
#
#   --update  write anew what is generated: the chart's copies of files of config/, what its schema says of pools, and
#             the golden files
#
# It compares:
#
#   the files that the chart and config/ share, and what both say of pools
#   the objects of each file of values in charts/berth/ci with hack/render/golden
#   the chart's objects with those of config/, one by one: they differ in the labels and annotations of Helm alone
#   values.yaml with values.schema.json and with the table of the chart's README
#   the versions of chart, kustomize bases and sources
#   the metrics in alerts and dashboard with those in the sources
#
# and gives the chart every value of hack/render/refused, each of which must fail and be named. Where `promtool` is on
# PATH it tries the alerts, where `helm` is, it renders the same objects.
#
# Environment:
#
#   BERTH_KUBECTL  another kubectl for kustomize

set -euo pipefail
here=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")" && pwd -P)
# shellcheck source=hack/lib.sh
. "$here/lib.sh"

update=
case ${1:-} in
    '') ;;
    --update) update=yes ;;
    --help | -h) usage && exit ;;
    *) usage >&2 && exit 2 ;;
esac
kubectl=${BERTH_KUBECTL:-kubectl}
need "$kubectl" diff
cd "$root"
chart=charts/berth
golden=hack/render/golden
problems=0

problem() {
    say "error: $*"
    problems=$((problems + 1))
}

render() { "$here/render.sh" "$@"; }

# same NAME EXPECTED FOUND: compares two files, or takes the second one.
same() {
    local name=$1 expected=$2 found=$3
    if [[ -n $update ]]; then
        mkdir -p "${expected%/*}"
        cmp -s "$expected" "$found" || say "updated $expected"
        cat "$found" >"$expected"
    elif ! diff -u "$expected" "$found" >&2; then
        problem "$name: hack/chart-check.sh --update takes the new state"
    fi
}

# copies FOLDER FILE...: the chart has these files of config/ in its folder, and no others.
copies() {
    local folder=$chart/$1 file
    shift
    for file; do same "$file" "$folder/${file##*/}" "$file"; done
    for file in "$folder"/*; do
        [[ " ${*##*/} " == *" ${file##*/} "* ]] || problem "$file: config/ has no such file"
    done
}

check_copies() {
    local file roles=()
    for file in config/rbac/*.yaml; do
        case ${file##*/} in kustomization.yaml | namespace.yaml) ;; *) roles+=("$file") ;; esac
    done
    copies files/crds config/crd/ipam.berth.dev_*.yaml
    copies files/rbac "${roles[@]}"
    copies files/controller config/controller/webhook.yaml
    copies files/policy config/policy/node_*.yaml
    copies files/monitoring config/monitoring/prometheus_rule.yaml
    copies dashboards config/monitoring/berth.json
}

# The options with which a file of values is rendered.
options_of() {
    case $1 in
        default) echo '--kube-version v1.31.0' ;;
        ha) echo '--kube-version v1.33.0 --api-versions ipam.berth.dev/v1alpha1 --namespace network' ;;
        minimal) echo '--kube-version v1.28.0' ;;
        k3s) echo '--kube-version v1.20.2' ;;
        *) die "$1: no options are known for these values" ;;
    esac
}

check_golden() {
    local values name options
    for values in "$chart"/ci/*-values.yaml; do
        name=$(basename "$values" -values.yaml)
        read -ra options <<<"$(options_of "$name")"
        render "$chart" "${options[@]}" --values "$values" >"$work/$name.yaml" || { problem "$values" && continue; }
        same "$name" "$golden/$name.yaml" "$work/$name.yaml"
        render "$chart" "${options[@]}" --values "$values" --notes >"$work/$name.txt"
        same "$name" "$golden/$name.txt" "$work/$name.txt"
        if command -v helm >/dev/null; then compare_with_helm "$name" "$values" "${options[@]}"; fi
    done
    command -v helm >/dev/null || say 'helm is not on PATH: not compared with it'
}

compare_with_helm() {
    local name=$1 values=$2
    shift 2
    [[ " $* " == *' --namespace '* ]] || set -- "$@" --namespace berth-system
    helm template berth "$chart" --values "$values" "$@" >"$work/$name.helm.yaml" || { problem "helm: $name" && return; }
    render compare "$work/$name.yaml" "$work/$name.helm.yaml" || problem "helm renders $name otherwise"
}

check_refused() {
    local line values name output count=0
    while read -r line; do
        if [[ -z $line || $line == '#'* ]]; then continue; fi
        values=${line% | *}
        name=${line##* | }
        count=$((count + 1))
        if output=$(render "$chart" --set "$values" 2>&1 >/dev/null); then
            [[ $name == '?' ]] || problem "$values: not refused"
        elif [[ $name == '?' || $output != *"$name"* ]]; then
            problem "$values: expected $name, not: ${output##*error calling fail: }"
        fi
    done <hack/render/refused
    say "$count sets of values were refused or taken as they should"
}

# The folders of config/ that are the whole chart. The Namespace is Helm's to make.
check_kustomize() {
    local folder crds
    for folder in default policy flowcontrol monitoring; do
        "$kubectl" kustomize "config/$folder" 2>>"$work/kustomize.log"
        echo ---
    done >"$work/kustomize.yaml" || { cat "$work/kustomize.log" >&2 && problem 'kustomize' && return; }
    render "$chart" --kube-version v1.31.0 --set monitoring.serviceMonitor.enabled=true \
        --set monitoring.prometheusRule.enabled=true,monitoring.dashboard.enabled=true >"$work/chart.yaml"
    render compare "$work/kustomize.yaml" "$work/chart.yaml" Namespace/berth-system ||
        problem 'config/ and the chart have other objects'
    for folder in config/*/; do
        [[ -f $folder/kustomization.yaml ]] || continue
        "$kubectl" kustomize "$folder" >/dev/null 2>"$work/kustomize.log" ||
            { cat "$work/kustomize.log" >&2 && problem "kustomize $folder"; }
    done
    # For old servers: the same, but for what they lack. The chart takes that from the custom resources, too.
    mapfile -t crds < <(sed -n 's,^  name: \(.*\.berth\.dev\)$,CustomResourceDefinition/\1,p' config/crd/ipam.*.yaml)
    "$kubectl" kustomize config/legacy >"$work/legacy.yaml" 2>/dev/null
    render "$chart" --kube-version v1.20.2 --set flowControl.mode=never,crds.install=false >"$work/chart.yaml"
    render compare "$work/legacy.yaml" "$work/chart.yaml" Namespace/berth-system "${crds[@]}" ||
        problem 'config/legacy and the chart for Kubernetes 1.20 have other objects'
}

check_values() {
    render keys "$chart" values >"$work/values"
    render keys "$chart" schema | grep -vx global >"$work/schema"
    diff "$work/values" "$work/schema" >&2 || problem 'values.yaml (<) and values.schema.json (>) have other values'
    render keys "$chart" rows >"$work/rows"
    # The first two columns.
    sed -n '/^## Objects/q;s/^\(| `[a-zA-Z.]*` | [^|]* |\).*/\1/p' "$chart/README.md" | LC_ALL=C sort >"$work/readme"
    diff <(LC_ALL=C sort "$work/rows") "$work/readme" >&2 || problem 'values.yaml (<) and the README (>) have other values or defaults'
}

# The pools in the values are what the custom resource says.
check_pool_schema() {
    render schema "$chart" config/crd/ipam.berth.dev_ippools.yaml >"$work/schema.json"
    same 'values.schema.json' "$chart/values.schema.json" "$work/schema.json"
}

check_versions() {
    local version file
    version=$(sed -n 's/.*text = "\(.*\)".*/\1/p' Sources/IPAMAPI/ProductVersion.swift)
    [[ -n $version ]] || die 'Sources/IPAMAPI/ProductVersion.swift names no version'
    grep -qx "appVersion: $version" "$chart/Chart.yaml" || problem "Chart.yaml: appVersion is not $version"
    for file in config/controller/kustomization.yaml config/node/kustomization.yaml; do
        grep -qx "  newTag: $version" "$file" || problem "$file: newTag is not $version"
    done
}

# Alerts and dashboard are about metrics that exist.
check_metrics() {
    local metric
    for metric in $(grep -oh 'berth_[a-z_]*' config/monitoring/prometheus_rule.yaml config/monitoring/berth.json |
        sed -E 's/_(bucket|sum|count)$//' | sort -u); do
        grep -rqF "\"$metric\"" Sources || grep -rqF "(\"${metric#berth_pool_}\", " Sources/IPAMController ||
            problem "no source has the metric $metric"
    done
}

check_alerts() {
    if ! command -v promtool >/dev/null; then
        say 'promtool is not on PATH: the alerts were not read'
        return
    fi
    sed -n '/^  groups:/,$s/^  //p' config/monitoring/prometheus_rule.yaml >"$work/rules.yaml"
    cp hack/render/alerts_test.yaml "$work"
    promtool check rules "$work/rules.yaml" >&2 || problem 'promtool refuses the alerts'
    promtool test rules "$work/alerts_test.yaml" >&2 || problem 'the alerts do something else'
}

check_renderer() {
    local unformatted go
    go=$(go_folder) || die 'Go is not installed; hack/setup.sh --with-nodes installs it'
    unformatted=$("$go/gofmt" -l hack/render)
    [[ -z $unformatted ]] || problem "gofmt would change $unformatted"
    (
        cd hack/render
        export GOPATH=/usr/share/gocode GO111MODULE=off GOFLAGS='' CGO_ENABLED=0
        "$go/go" vet . && "$go/go" test . >&2
    ) || problem 'the tests of the renderer'
}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
render --help >/dev/null
check_copies
check_renderer
check_pool_schema
check_golden
check_values
check_versions
check_kustomize
check_metrics
check_alerts
if [[ -z $update ]]; then check_refused; fi
((problems == 0)) || die "$problems problems"
say 'the chart is as it should be'
