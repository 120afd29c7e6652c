#!/usr/bin/env bash
# Measures the plugin against a real API server, each figure beside its floor: a small C program that does the same on
# the wire and nothing else (hack/bench).
#
# Usage: hack/bench.sh [--quick] [--only NAME]... [--against FILE] [--json FILE]
#
#   --quick         about a minute once everything is built: few runs, and 2,000 addresses in place of 60,000
#   --only NAME     that part alone; may be given more than once: startup, footprint, sequential, builds, selection,
#                   concurrent, requests, full, unreachable, filled, controller
#   --against FILE  another build of the plugin, measured beside this one (the part `builds`)
#   --json FILE     writes the figures there too, as JSON
#
# The table is the standard output; what goes on meanwhile is on standard error. A full run takes about ten minutes.
# No figure makes it fail, only errors do. Measure on a machine that does nothing else.
#
# Environment:
#
#   BERTH_TEST_CONTROL_PLANE  folder of a control plane that runs already (hack/control-plane.sh start DIR): it is used,
#                             never stopped, and what was made in it is deleted. Without it, one is started in a
#                             temporary folder and ended.
#   KUBEBUILDER_ASSETS        folder that holds kube-apiserver and etcd, in place of Debian's
#   BERTH_APISERVER_FLAGS     more flags for kube-apiserver

set -euo pipefail
here=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")" && pwd -P)
# shellcheck source=hack/lib.sh
. "$here/lib.sh"

arguments=()
while (($# > 0)); do
    case $1 in
        --help | -h) usage && exit ;;
        --quick) arguments+=("$1") ;;
        --only | --json | --against)
            (($# > 1)) || die "$1 needs an argument; --help says more"
            if [[ $1 == --only ]]; then arguments+=("$1" "$2"); else arguments+=("$1" "$(realpath -m "$2")"); fi
            shift
            ;;
        *) die "unknown argument: $1; --help says more" ;;
    esac
    shift
done

# build_floor OUT: the C programs, linked with the same archives as the plugin.
build_floor() {
    local out=$1 warnings
    mkdir -p "$out"
    cc -O2 -static -s -o "$out/empty" "$root/hack/bench/empty.c"
    # What the linker says of getaddrinfo in every static program is no news.
    warnings=$(cc -std=gnu11 -O2 -Wall -Wextra -Werror -static -s -I"$root/Sources/CHost/include" -o "$out/floor" \
        "$root/hack/bench/floor.c" "$root"/Sources/CHost/*.c "$root/Sources/CCurlStaticStubs/stubs.c" \
        -lcurl -lnghttp2 -lssl -lcrypto -lz 2>&1) || die "$warnings"
}

clean_up() {
    local code=$?
    trap - EXIT
    if [[ -n ${benching:-} ]]; then end_process "$benching" ''; fi
    if [[ -n ${started:-} ]]; then "$here/control-plane.sh" stop "$started" >/dev/null 2>&1 || true; fi
    rm -rf "$scratch"
    exit "$code"
}

cd "$root"
unset BERTH_STATIC
exit_on_signals

"$here/setup.sh"
need cc
"$here/build.sh" >&2
floor=$root/.build/bench
build_floor "$floor"
swift build -c release --product BerthBench >&2
swift build -c release --product berth-controller >&2
bench=$(swift build -c release --product BerthBench --show-bin-path)/BerthBench
controller=${bench%/*}/berth-controller

scratch=$(mktemp -d -t berth-bench.XXXXXX)
trap clean_up EXIT
if [[ -z ${BERTH_TEST_CONTROL_PLANE:-} ]]; then
    started=$scratch/control-plane
    mkdir "$started"
    "$here/control-plane.sh" start "$started"
    export BERTH_TEST_CONTROL_PLANE=$started
else
    "$here/control-plane.sh" status "$BERTH_TEST_CONTROL_PLANE" >&2 ||
        die "BERTH_TEST_CONTROL_PLANE: no API server is ready in $BERTH_TEST_CONTROL_PLANE"
    arguments+=(--shared)
fi
export BERTH_TEST_PLUGIN=$root/dist/berth BERTH_BENCH_FLOOR=$floor TMPDIR=$scratch
export BERTH_BENCH_CONTROLLER=$controller
# In the background, so that a signal to this script ends the wait at once.
"$bench" "${arguments[@]}" &
benching=$!
wait "$benching"
benching=
