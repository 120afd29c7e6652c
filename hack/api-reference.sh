#!/usr/bin/env bash
# Makes docs/api.md, the API reference, from the custom resource definitions in config/crd.
#
# Usage: hack/api-reference.sh [--check]
#
#   --check  change nothing; fail when the page is another one
#
# It is a small program in Go, hack/api-reference, on Debian's package of a YAML library.

set -euo pipefail
here=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")" && pwd -P)
# shellcheck source=hack/lib.sh
. "$here/lib.sh"

go=$(go_folder || true)
libraries=/usr/share/gocode
page=docs/api.md

check=
case ${1:-} in
    '') ;;
    --check) check=yes ;;
    --help | -h) usage && exit ;;
    *) usage >&2 && exit 2 ;;
esac
(($# <= 1)) || { usage >&2 && exit 2; }
[[ -x $go/go && -d $libraries/src/gopkg.in/yaml.v2 ]] ||
    die 'Go or its YAML library is not installed; hack/setup.sh --with-nodes installs it'
cd "$root"
export GOPATH=$libraries GO111MODULE=off GOFLAGS='' CGO_ENABLED=0

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$go/go" build -o "$work/api-reference" ./hack/api-reference
# Pools come first: they are what people write.
definitions=(config/crd/ipam.berth.dev_ippools.yaml)
for file in config/crd/ipam.berth.dev_*.yaml; do
    if [[ $file != "${definitions[0]}" ]]; then definitions+=("$file"); fi
done
"$work/api-reference" "${definitions[@]}" >"$work/api.md"
if [[ -n $check ]]; then
    unformatted=$("$go/gofmt" -l hack/api-reference)
    [[ -z $unformatted ]] || die "gofmt would change $unformatted"
    "$go/go" vet ./hack/api-reference
    diff -u "$page" "$work/api.md" >&2 || die "$page is not what config/crd says; hack/api-reference.sh makes it anew"
    say "$page is what config/crd says"
elif cmp -s "$page" "$work/api.md"; then
    say "$page is what config/crd says already"
else
    cat "$work/api.md" >"$page"
    say "$page: made anew"
fi
