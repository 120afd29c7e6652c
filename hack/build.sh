#!/usr/bin/env bash
# Builds the executables as they are shipped, into dist/: release builds without any shared object, stripped.
#
# Usage: hack/build.sh [--all | PRODUCT...]
#
#   PRODUCT  berth, berth-controller, berth-node or kubectl-berth; by default berth, the CNI plugin
#   --all    all four
#
# Fails when an executable is not static or larger than its limit: in the plugin, one use of the whole of Foundation would
# add 40 MB.
#
# Two builds of one commit are the same, whatever folder the checkout is in, whoever builds, and however many processors
# there are, with the same toolchain in the same place, libraries of the system, and packages: those of a build are in its
# Package.resolved, which another one can be given. For that, the compiler sees the checkout as /usr/src, where it is mounted
# for this process and its children alone, and gets an environment that is always the same (packages are fetched before,
# with that of the user). It goes without its own unrolling of loops, which orders values by the addresses that they happen
# to lie at; LLVM unrolls loops all the same. There is no debug information: it would depend on the times of headers.
#
# Where the system allows no such mount – it takes root, or user namespaces for everyone – the script says so and builds in
# the checkout's own folder; these executables work as well.
#
# The builds have folders of their own, beside that of `swift build`: .build/reproducible, and .build/static for those in the
# checkout's own folder.

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

# A folder that every system has and nothing that is needed to build lies in.
fixed_root=/usr/src
cd "$root"
if [[ $root != "$fixed_root" ]]; then
    # Another user than root becomes root of a namespace, which may mount there, and then in a second one who they were.
    private=(unshare --mount) again=()
    if ((EUID != 0)); then
        private+=(--map-root-user)
        again=(unshare --user --map-user="$EUID" --map-group="$(id -g)")
    fi
    # Not canonicalised: the source stays this folder even if it lies below the one that it is mounted on.
    # shellcheck disable=SC2016  # it is that shell which expands
    private+=(sh -ec 'mount --no-canonicalize --rbind . "$0"; exec "$@"' "$fixed_root" "${again[@]}")
    if failure=$("${private[@]}" test -x "$fixed_root/hack/build.sh" 2>&1); then
        say "building in $fixed_root, where this process alone sees the checkout"
        exec "${private[@]}" "$fixed_root/hack/build.sh" "${products[@]}"
    fi
    say "not reproducible in another folder: the checkout cannot be mounted on $fixed_root for this process:" \
        "${failure:-it is not seen there}"
    scratch=.build/static
    # So that nobody takes what lies in dist/ for an earlier build.
    rm -rf .build/reproducible
else
    scratch=.build/reproducible
fi

options=(
    -c release --scratch-path "$scratch" --static-swift-stdlib -Xswiftc -static-executable -Xlinker -s
    -debug-info-format none
    -Xswiftc -Xllvm -Xswiftc -sil-disable-pass=loop-unroll
    -Xswiftc -file-prefix-map -Xswiftc "$root=." -Xcc "-ffile-prefix-map=$root=."
)
export BERTH_STATIC=1
# The locks of swift build are in here, named after the path of the build folder, which all checkouts share.
export TMPDIR=$root/$scratch/temporary
mkdir -p dist "$TMPDIR" "$scratch/home"
# Where the toolchain is, whatever starts it: swiftly needs the environment of its user.
toolchain=$(swift -print-target-info | sed -n 's|.*"runtimeResourcePath": *"\(.*\)/lib/swift\(_static\)\{0,1\}".*|\1|p')
[[ -x $toolchain/bin/swift ]] || die "swift does not say where it is: $toolchain"
# The compiler is partly written in Swift, whose sets are else in another order in each run.
steady=(
    env -i "PATH=$toolchain/bin:/usr/local/bin:/usr/bin:/bin" "HOME=$root/$scratch/home" "TMPDIR=$TMPDIR"
    BERTH_STATIC=1 LC_ALL=C.UTF-8 SWIFT_DETERMINISTIC_HASHING=1
)
swift package --scratch-path "$scratch" resolve

# build PRODUCT
build() {
    local product=$1 since=$SECONDS built kind bytes size
    say "building $product"
    "${steady[@]}" swift build "${options[@]}" --product "$product"
    built=$("${steady[@]}" swift build "${options[@]}" --show-bin-path)/$product

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
