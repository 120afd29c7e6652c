#!/usr/bin/env bash
# Gives the chart and the kustomize bases to a real API server: as a dry run, for real, and once more.
#
# Usage: hack/chart-apply.sh [DIR]
#
#   DIR  folder of a control plane that runs (hack/control-plane.sh start DIR) and that nobody else uses: what is there
#        of Berth is deleted at the end. Without it, one is started in a temporary folder and ended.
#
# What the server lacks an API for is listed by name. Everything else must be taken, and taken a second time without a
# change. There are no controllers: no pod comes of it. hack/e2e.sh runs the chart.

set -euo pipefail
here=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")" && pwd -P)
# shellcheck source=hack/lib.sh
. "$here/lib.sh"

case ${1:-} in
    --help | -h) usage && exit ;;
    -*) usage >&2 && exit 2 ;;
esac
need kubectl
cd "$root"
chart=charts/berth

kubectl() { command kubectl --kubeconfig "$dir/admin.kubeconfig" "$@"; }
render() { "$here/render.sh" "$chart" --cluster "$dir/admin.kubeconfig" "$@"; }

# apply WHAT FILE [OPTION...]: everything is taken but what the server has no API for, which is listed. Leaves the number
# of objects that were taken in $taken.
apply() {
    local what=$1 file=$2 all lacking others missing
    shift 2
    # Servers before 1.31 do not know every field of the custom resource definitions.
    kubectl apply --validate=false -f "$file" "$@" >"$work/out" 2>"$work/err" || true
    # kubectl 1.20 says `unable to recognize`, newer ones say `resource mapping not found`.
    lacking=$(grep -o 'no matches for kind "[^"]*" in version "[^"]*"' "$work/err" | sort | uniq -c |
        sed 's/^ *\([0-9]*\) no matches for kind "\([^"]*\)" in version "\([^"]*\)"/\2 of \3 (\1)/') || true
    others=$(grep -v -e 'no matches for kind' -e 'ensure CRDs are installed first' -e '^[Ww]arning' -e '^# ' "$work/err") || true
    [[ -z $others ]] || die "$what: $others"
    all=$(grep -c '^kind: ' "$file")
    taken=$(wc -l <"$work/out")
    missing=$(awk -F'[()]' '{ sum += $2 } END { print sum + 0 }' <<<"$lacking")
    ((taken + missing == all)) || die "$what: of $all objects $taken were taken: $(cat "$work/out")"
    say "$what: $taken objects taken$([[ -z $lacking ]] || printf '; the server has no %s' "$(paste -sd, <<<"$lacking" | sed 's/,/, /g')")"
}

# for_real WHAT FILE: as a dry run, for real, and again.
for_real() {
    local changed
    apply "$1, dry run" "$2" --dry-run=server
    apply "$1" "$2"
    kubectl wait --for=condition=Established --timeout=30s crd/ippools.ipam.berth.dev crd/ipallocations.ipam.berth.dev \
        >/dev/null
    apply "$1, again" "$2"
    # Of these an old server drops fields, or adds some, so that kubectl sends a patch that changes nothing.
    changed=$(grep -v -e ' unchanged$' -e '^customresourcedefinition' -e '^flowschema' "$work/out") || true
    [[ -z $changed ]] || die "$1: the second time changed $changed"
}

# No pool is made while there is a webhook: the API server would ask an address where nobody is.
apply_chart() {
    kubectl create namespace berth-system >/dev/null
    render >"$work/default.yaml"
    for_real 'chart, default values' "$work/default.yaml"
    check_flow
    render --values "$chart/ci/ha-values.yaml" --set nodePolicy.mode=always,controller.webhook.enabled=false \
        --set createPools=always,monitoring.dashboard.enabled=true,crds.install=true >"$work/ha.yaml"
    kubectl delete validatingwebhookconfiguration berth-controller >/dev/null
    for_real 'chart, HA values and every part' "$work/ha.yaml"
    [[ $(kubectl get ippools -o name | sort | paste -sd' ') == 'ippool.ipam.berth.dev/blue-v4 ippool.ipam.berth.dev/blue-v6' ]] ||
        die 'the pools of the values are not there'
    render --values "$chart/ci/minimal-values.yaml" >"$work/minimal.yaml"
    apply 'chart, minimal values, dry run' "$work/minimal.yaml" --dry-run=server
    kubectl delete -f "$work/ha.yaml" --ignore-not-found >/dev/null 2>&1 || true
    kubectl delete -f "$work/default.yaml" --ignore-not-found --wait=false >/dev/null 2>&1 || true
}

# A claim of a node's identity goes to the priority level of claims.
check_flow() {
    local token wanted found
    wanted=$(kubectl get flowschema berth-claims -o jsonpath='{.metadata.uid}' 2>/dev/null) || return 0
    token=$(kubectl create --raw /api/v1/namespaces/berth-system/serviceaccounts/berth-node/token \
        -f - <<<'{"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}' |
        sed -n 's/.*"token": *"\([^"]*\)".*/\1/p')
    # Without the administrator's certificate. The server takes a moment to heed a new FlowSchema.
    kubectl config view --raw -o jsonpath='{.clusters[0].cluster.certificate-authority-data}' | base64 -d >"$work/ca.crt"
    local server deadline=$((SECONDS + 30))
    server=$(kubectl config view -o jsonpath='{.clusters[0].cluster.server}')
    while
        found=$(command kubectl --kubeconfig /dev/null --server "$server" --certificate-authority "$work/ca.crt" \
            --token "$token" get --raw /apis/ipam.berth.dev/v1alpha1/ippools/none -v=8 2>&1 |
            sed -n 's/.*X-Kubernetes-Pf-Flowschema-Uid: *\([-0-9a-f]*\).*/\1/p')
        [[ $found != "$wanted" ]]
    do
        ((SECONDS < deadline)) || die "a read of a node's identity goes to the FlowSchema ${found:-?}, not to berth-claims"
        sleep 0.5
    done
    say 'the requests of a node'\''s identity are in the FlowSchema berth-claims'
}

apply_kustomize() {
    local folder minor
    minor=$(kubectl get --raw /version | sed -n 's/.*"minor": *"\([0-9]*\).*/\1/p')
    for folder in default legacy policy flowcontrol monitoring; do
        command kubectl kustomize "config/$folder" >"$work/$folder.yaml" 2>/dev/null
        if [[ $folder == default ]] && ((minor < 22)); then continue; fi
        if [[ $folder == legacy ]] && ((minor >= 22)); then continue; fi
        apply "config/$folder, dry run" "$work/$folder.yaml" --dry-run=server
        apply "config/$folder" "$work/$folder.yaml"
        # Before the API server is asked anything about pools.
        kubectl delete validatingwebhookconfiguration berth-controller --ignore-not-found >/dev/null
    done
    for folder in monitoring flowcontrol policy legacy default; do
        kubectl delete -f "$work/$folder.yaml" --ignore-not-found --wait=false >/dev/null 2>&1 || true
    done
}

clean_up() {
    local code=$?
    trap - EXIT
    rm -rf "$work"
    if [[ -n $started ]]; then
        "$here/control-plane.sh" stop "$dir" >/dev/null 2>&1 || true
        rm -rf "$dir"
    fi
    exit "$code"
}

work=$(mktemp -d)
started=
dir=${1:-}
trap clean_up EXIT
exit_on_signals
if [[ -z $dir ]]; then
    started=yes
    dir=$(mktemp -d -t berth-chart.XXXXXX)
    "$here/control-plane.sh" start "$dir"
fi
apply_chart
apply_kustomize
say 'the API server takes chart and kustomize bases'
