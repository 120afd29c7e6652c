#!/usr/bin/env bash
# Renders a Helm chart as `helm template` does, without Helm.
#
# Usage: hack/render.sh CHART [OPTION...]
#        hack/render.sh --check | --update    hack/chart-check.sh: the golden files and more
#
#   --values FILE, --set PATH=VALUE, --set-string PATH=VALUE, --set-json PATH=JSON
#                          values, as for Helm
#   --name NAME            of the release; berth by default
#   --namespace NAME       of the release; berth-system by default
#   --kube-version V       version of the API server; v1.31.0 by default
#   --api-versions LIST    API versions and kinds that it has beside the common ones: v1/Pod,policy/v1/PodDisruptionBudget
#   --cluster KUBECONFIG   take both from an API server, as `helm install` does
#   --is-upgrade           as in an upgrade
#   --notes                NOTES.txt in place of the objects
#   --sources=false        without the comments that name the templates
#
# It is a small program in Go, hack/render, on what Debian packages of the libraries that Helm is made of. It knows plain
# charts: no dependencies, no crds/, no archives.

set -euo pipefail
here=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")" && pwd -P)
# shellcheck source=hack/lib.sh
. "$here/lib.sh"

go=$(go_folder || true)/go
libraries=/usr/share/gocode

# Prints the path of the renderer, and builds it when its sources have changed.
renderer() {
    local hash cache built
    hash=$(cat "$here"/render/*.go | sha256sum | cut -c1-12)
    cache=${XDG_CACHE_HOME:-$HOME/.cache}/berth
    built=$cache/render-$hash
    if [[ ! -x $built ]]; then
        [[ -x $go && -d $libraries/src/github.com/Masterminds/sprig && -d $libraries/src/sigs.k8s.io/yaml ]] ||
            die 'Go or its libraries are not installed; hack/setup.sh --with-nodes installs them'
        mkdir -p "$cache"
        rm -f "$cache"/render-*
        GOPATH=$libraries GO111MODULE=off GOFLAGS='' CGO_ENABLED=0 "$go" build -o "$built.$$" "$here"/render/*.go >&2
        mv "$built.$$" "$built"
    fi
    printf '%s' "$built"
}

# Prints what an API server has, as options.
capabilities() {
    local kubeconfig=$1 version
    version=$(kubectl --kubeconfig "$kubeconfig" get --raw /version | sed -n 's/.*"gitVersion": *"\([^"]*\)".*/\1/p')
    [[ -n $version ]] || die "$kubeconfig: the API server does not say its version"
    printf '%s\n' --kube-version "$version"
    # The group and version are the third column from the right, the kind is the last.
    kubectl --kubeconfig "$kubeconfig" api-resources --no-headers |
        awk '{ print "--api-versions"; print $(NF - 2) "," $(NF - 2) "/" $NF }'
}

arguments=()
while (($# > 0)); do
    case $1 in
        --help | -h) usage && exit ;;
        --check) exec "$here/chart-check.sh" ;;
        --update) exec "$here/chart-check.sh" --update ;;
        --cluster)
            (($# > 1)) || die '--cluster: which kubeconfig?'
            need kubectl
            found=$(capabilities "$2")
            mapfile -t -O "${#arguments[@]}" arguments <<<"$found"
            shift 2
            ;;
        *)
            arguments+=("$1")
            shift
            ;;
    esac
done
((${#arguments[@]} > 0)) || { usage >&2 && exit 2; }
program=$(renderer)
exec "$program" "${arguments[@]}"
