#!/usr/bin/env bash
# Everything that CI runs: setup, lint, generated files, builds, and the tests against a real API server.
#
# Usage: hack/test.sh [ARGUMENT...]
#
# The arguments go to `swift test`, for example: hack/test.sh --filter ControlPlaneTests
#
# Environment:
#
#   BERTH_TEST_CONTROL_PLANE  folder of a control plane that runs already (hack/control-plane.sh start DIR): the tests
#                             use it, and it goes on running. Without it, one is started in a temporary folder and ended.
#   KUBEBUILDER_ASSETS        folder that holds kube-apiserver and etcd, in place of Debian's
#   BERTH_APISERVER_FLAGS     more flags for kube-apiserver
#   CI                        when set, a test that needs a real API server fails where it would be skipped
#
# The tests see BERTH_TEST_CONTROL_PLANE, and BERTH_TEST_PLUGIN, the path of the static plugin. The first run on a
# machine builds kube-apiserver, which takes about five minutes.

set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
# shellcheck source=hack/lib.sh
. "$here/lib.sh"

if [[ ${1:-} == --help || ${1:-} == -h ]]; then
    usage
    exit
fi

# step NAME COMMAND...: runs it and says how long it took.
step() {
    local name=$1 since=$SECONDS
    shift
    "$@" || die "$name failed after $((SECONDS - since)) s"
    say "$name: $((SECONDS - since)) s"
}

check_scripts() {
    local script
    for script in hack/*.sh .ci/run; do
        bash -n "$script" || return 1
    done
}

lint() {
    local path paths=()
    for path in Sources Tests Package.swift; do
        if [[ -e $path ]]; then paths+=("$path"); fi
    done
    swift format lint --strict --parallel --recursive "${paths[@]}"
}

# Silent, because the summary of the tests is to stay the last output.
clean_up() {
    local code=$?
    trap - EXIT
    if [[ -n ${started:-} ]]; then
        "$here/control-plane.sh" stop "$started" >/dev/null 2>&1 || true
        if ((code == 0)); then rm -rf "$started"; else rm -rf "$started/etcd"; fi
    fi
    exit "$code"
}

cd "$root"
unset BERTH_STATIC
exit_on_signals

step 'setup' "$here/setup.sh"
step 'bash -n' check_scripts
step 'swift format lint' lint
step 'stubs for the static link' "$here/curl-stubs.sh" --check
step 'swift build --build-tests' swift build --build-tests
step 'static build of the plugin' "$here/build.sh"

trap clean_up EXIT
if [[ -z ${BERTH_TEST_CONTROL_PLANE:-} ]]; then
    started=$(mktemp -d -t berth-test.XXXXXX)
    step 'control plane' "$here/control-plane.sh" start "$started"
    say "the server's logs are in $started; they are kept when a test fails"
    export BERTH_TEST_CONTROL_PLANE=$started
else
    "$here/control-plane.sh" status "$BERTH_TEST_CONTROL_PLANE" >&2 ||
        die "BERTH_TEST_CONTROL_PLANE: no API server is ready in $BERTH_TEST_CONTROL_PLANE"
fi
export BERTH_TEST_PLUGIN=$root/dist/berth
# Most tests wait for processes that share two cores with the API server; more of them at once only wait longer.
export SWT_EXPERIMENTAL_MAXIMUM_PARALLELIZATION_WIDTH=${SWT_EXPERIMENTAL_MAXIMUM_PARALLELIZATION_WIDTH:-8}
say "swift test $*; $SECONDS s so far"
swift test --disable-xctest "$@"
