#!/usr/bin/env bash
# An image like dist/images/berth-node-*, whose plugin is another file: the same program with one byte more at its end.
#
# Usage: hack/e2e/other-version.sh ARCHIVE

set -euo pipefail
root=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/../.." && pwd -P)
archive=$(realpath -m "$1")
work=$(mktemp -d -t berth-other.XXXXXX)
trap 'rm -rf "$work"' EXIT
mkdir "$work/layout"
tar -C "$work/layout" -xf "$root"/dist/images/berth-node-*.tar
tag=$(grep -o '"org.opencontainers.image.ref.name":"[^"]*"' "$work/layout/index.json" | cut -d'"' -f4)
{ cat "$root/dist/berth" && printf '\n'; } >"$work/berth"
chmod 755 "$work/berth"
umoci insert --image "$work/layout:$tag" "$work/berth" /berth
sed -i "s|\"org.opencontainers.image.ref.name\":\"$tag\"|&,\"io.containerd.image.name\":\"berth.dev/berth-node:other\"|" \
    "$work/layout/index.json"
tar -C "$work/layout" -cf "$archive" oci-layout index.json blobs
