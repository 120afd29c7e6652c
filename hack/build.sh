#!/usr/bin/env bash
# Builds the plugin as it is shipped: dist/berth, a release build without any shared object, stripped.
#
# Usage: hack/build.sh
#
# It has a build folder of its own, .build/static, beside that of `swift build`. Fails when the executable is not
# static or larger than its limit: one use of the whole of Foundation adds 40 MB.

set -euo pipefail
# shellcheck source=hack/lib.sh
. "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/lib.sh"

limit_megabytes=25

if (($# > 0)); then
    usage
    [[ $1 == --help || $1 == -h ]] && exit
    exit 2
fi
need swift file

cd "$root"
options=(-c release --product berth --scratch-path .build/static --static-swift-stdlib -Xswiftc -static-executable -Xlinker -s)
export BERTH_STATIC=1
say "swift build ${options[*]}"
swift build "${options[@]}"
built=$(swift build "${options[@]}" --show-bin-path)/berth

kind=$(file --brief "$built")
[[ $kind == *'statically linked'* || $kind == *static-pie* ]] || die "$built is not static: $kind"
bytes=$(stat --format=%s "$built")
size=$(awk "BEGIN { printf \"%.1f MB\", $bytes / 1e6 }")
((bytes <= limit_megabytes * 1000000)) || die "$built has $size, more than $limit_megabytes MB"

mkdir -p dist
install -m 755 "$built" dist/.berth.new
mv dist/.berth.new dist/berth
say "dist/berth: $size, statically linked"
