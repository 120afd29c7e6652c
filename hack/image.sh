#!/usr/bin/env bash
# Builds the container images without a container engine: OCI archives in dist/images, with umoci.
#
# Usage: hack/image.sh [--no-build] [--repository PREFIX]
#
#   --no-build           take the executables that lie in dist/
#   --repository PREFIX  the images are named PREFIX/berth-controller:VERSION and PREFIX/berth-node:VERSION;
#                        by default berth.dev
#
# Each image holds static executables and nothing else: berth-controller has /berth-controller and runs as user 65532;
# berth-node has /berth-node and the plugin /berth, and runs as root, because it installs files on the node. They are of
# this machine's architecture. The times in them are that of the commit, and two builds of one commit have one digest, with
# the same toolchain, libraries of the system and packages: see hack/build.sh --help.
#
#   ctr --namespace k8s.io images import dist/images/berth-node-0.1.0-amd64.tar
#   skopeo copy oci-archive:dist/images/berth-node-0.1.0-amd64.tar docker://registry.example/berth-node:0.1.0
#
# Environment:
#
#   SOURCE_DATE_EPOCH  the times in the images, in seconds since 1970; by default the time of the last commit

set -euo pipefail
here=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")" && pwd -P)
# shellcheck source=hack/lib.sh
. "$here/lib.sh"

build=yes
repository=berth.dev
while (($# > 0)); do
    case $1 in
        --help | -h) usage && exit ;;
        --no-build) build= ;;
        --repository)
            [[ -n ${2:-} ]] || die '--repository needs a value'
            repository=$2
            shift
            ;;
        *) usage >&2 && exit 2 ;;
    esac
    shift
done

cd "$root"
need tar sha256sum
type -P umoci >/dev/null || die 'umoci is not on PATH; hack/setup.sh --with-nodes installs it'
version=$(sed -n 's/.*text = "\(.*\)"/\1/p' Sources/IPAMAPI/ProductVersion.swift)
case $(uname -m) in
    x86_64) architecture=amd64 ;;
    aarch64) architecture=arm64 ;;
    *) die "there are no images for $(uname -m)" ;;
esac
epoch=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || true)}
[[ -n $epoch ]] || die 'this is no Git checkout: set SOURCE_DATE_EPOCH'
created=$(date -u -d "@$epoch" +%Y-%m-%dT%H:%M:%SZ)

if [[ -n $build ]]; then "$here/build.sh" berth berth-controller berth-node; fi

exit_on_signals
work=$(mktemp -d -t berth-image.XXXXXX)
trap 'rm -rf "$work"' EXIT

# image NAME USER PROGRAM...: an archive of an image whose entry point is the first program.
image() {
    local name=$1 user=$2 program layout=$work/$1 archive
    shift 2
    # The layout is a folder of files; umoci keeps each file's time in the layer, so it is set here.
    umoci init --layout "$layout"
    umoci new --image "$layout:$version"
    for program; do
        [[ -x dist/$program ]] || die "dist/$program is missing; hack/build.sh makes it"
        install -m 755 "dist/$program" "$work/programs/$program"
        touch -d "@$epoch" "$work/programs/$program"
        # Root's, whoever builds: umoci would keep the builder's ID otherwise.
        umoci insert --uid-map "0:$EUID:1" --gid-map "0:$(id -g):1" --image "$layout:$version" \
            --history.created "$created" \
            --history.created_by "hack/image.sh: /$program" "$work/programs/$program" "/$program"
    done
    umoci config --image "$layout:$version" --no-history --created "$created" --os linux --architecture "$architecture" \
        --config.user "$user" --config.entrypoint "/$1" \
        --config.label "org.opencontainers.image.title=$name" \
        --config.label "org.opencontainers.image.version=$version" \
        --config.label 'org.opencontainers.image.licenses=Apache-2.0'
    umoci gc --layout "$layout"
    # The names by which containerd and others file an archive that they import.
    sed -i "s|\"org.opencontainers.image.ref.name\":\"$version\"|&,\"io.containerd.image.name\":\"$repository/$name:$version\"|" \
        "$layout/index.json"
    archive=dist/images/$name-$version-$architecture.tar
    tar -C "$layout" --sort=name --mtime="@$epoch" --owner=0 --group=0 --numeric-owner --mode=u=rwX,go=rX \
        -cf "$archive.new" oci-layout index.json blobs
    mv "$archive.new" "$archive"
    say "$archive: $repository/$name:$version, $(du -h "$archive" | cut -f1)," \
        "$(grep -o 'sha256:[0-9a-f]*' "$layout/index.json")"
}

mkdir -p dist/images "$work/programs"
image berth-controller 65532:65532 berth-controller
image berth-node 0:0 berth-node berth
