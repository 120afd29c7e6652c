#!/usr/bin/env bash
# Builds the executables as they are shipped, into dist/: release builds without any shared object, stripped.
#
# Usage: hack/build.sh [--all | PRODUCT...]
#
#   PRODUCT  berth, berth-controller, berth-node or kubectl-berth; by default berth, the CNI plugin
#   --all    all four
#
# They have a build folder of their own, .build/static, beside that of `swift build`. Fails when an executable is not
# static or larger than its limit: in the plugin, one use of the whole of Foundation would add 40 MB. The paths of this
# folder are kept out of the executables, and the compiler runs without randomised addresses, where the system allows it: it
# otherwise orders a few instructions differently each time. Two builds of one commit in one folder, with one version of the
# toolchain and of the libraries, are equal to the byte; in another folder the code of single functions can differ.

set -euo pipefail
# shellcheck source=hack/lib.sh
. "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/lib.sh"

declare -A limit_megabytes=([berth]=25 [berth-controller]=110 [berth-node]=110 [kubectl-berth]=90)

products=()
for argument; do
    case $argument in
        --help | -h) usage && exit ;;
        --all) products+=(berth berth-controller berth-node kubectl-berth) ;;
        *)
            [[ -n ${limit_megabytes[$argument]:-} ]] || die "there is no product $argument; see --help"
            products+=("$argument")
            ;;
    esac
done
((${#products[@]} > 0)) || products=(berth)
need swift file

cd "$root"
options=(
    -c release --scratch-path .build/static --static-swift-stdlib -Xswiftc -static-executable -Xlinker -s
    -Xswiftc -file-prefix-map -Xswiftc "$root=." -Xcc "-ffile-prefix-map=$root=."
)
fixed=()
if setarch --addr-no-randomize true 2>/dev/null; then fixed=(setarch --addr-no-randomize); fi
export BERTH_STATIC=1
mkdir -p dist

# build PRODUCT
build() {
    local product=$1 since=$SECONDS built kind bytes size
    say "building $product"
    "${fixed[@]}" swift build "${options[@]}" --product "$product"
    built=$(swift build "${options[@]}" --show-bin-path)/$product

    kind=$(file --brief "$built")
    [[ $kind == *'statically linked'* || $kind == *static-pie* ]] || die "$built is not static: $kind"
    bytes=$(stat --format=%s "$built")
    size=$(awk "BEGIN { printf \"%.1f MB\", $bytes / 1e6 }")
    ((bytes <= limit_megabytes[$product] * 1000000)) ||
        die "$built has $size, more than ${limit_megabytes[$product]} MB"

    install -m 755 "$built" "dist/.$product.new"
    mv "dist/.$product.new" "dist/$product"
    say "dist/$product: $size, statically linked, $((SECONDS - since)) s"
}

for product in "${products[@]}"; do build "$product"; done
