#!/usr/bin/env bash
# The recipe of the Kubernetes binaries that tests run against: builds them from Debian's source package.
#
# Usage: hack/build-kubernetes.sh SOURCE.dsc OUT
#
# Unpacks SOURCE.dsc in the working directory, which must be empty and has 2 GB free, builds it there and leaves the
# binaries in the folder OUT. Takes about eight minutes on two cores. The hash of this file is part of the cache key of
# its result, so whoever changes it builds anew. hack/kubernetes.sh is what calls it.

set -euo pipefail

# What is built, as folders of cmd/.
targets=(kube-apiserver kube-controller-manager kube-scheduler kubelet)

# The newest toolchain that this tree compiles with among those of Debian 12.
go_root=/usr/lib/go-1.19
reflect2=/usr/share/gocode/src/github.com/modern-go/reflect2

if [[ ${1:-} == --help || $# != 2 ]]; then
    sed -n '2,${/^#/!q;s/^# \{0,1\}//;p;}' "$0"
    [[ ${1:-} == --help ]] && exit
    exit 2
fi
source=$1 out=$2

dpkg-source -x "$source" tree
cd tree

# The vendored reflect2 1.0.1 crashes the server at the first custom resource that is created, when the toolchain is
# Go 1.18 or newer. Debian's package is a later version of the same module.
vendored=vendor/github.com/modern-go/reflect2
rm "$vendored"/*.go "$vendored"/*.s
for file in "$reflect2"/*.go "$reflect2"/*.s; do
    if [[ $file != *_test.go ]]; then cp "$file" "$vendored/"; fi
done

# The build wants a GOPATH whose src/k8s.io/kubernetes is this tree.
mkdir -p .go/src/k8s.io
ln -s "$PWD" .go/src/k8s.io/kubernetes
export GOPATH=$PWD/.go GOCACHE=$PWD/.go/cache CGO_ENABLED=0 PATH=$go_root/bin:$PATH
unset GOFLAGS GO111MODULE GOROOT MAKEFLAGS
cd .go/src/k8s.io/kubernetes
make WHAT="${targets[*]/#/cmd/}"

mkdir -p "$out"
for target in "${targets[@]}"; do
    "_output/bin/$target" --version
    install -m 755 "_output/bin/$target" "$out/$target"
done
