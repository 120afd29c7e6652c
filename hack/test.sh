#!/usr/bin/env bash
# Everything that CI runs: setup, lint, generated files, builds, the end-to-end scenarios on real kubelets, and the tests
# against a real API server.
#
# Usage: hack/test.sh [ARGUMENT...]
#
# The arguments go to `swift test`, for example: hack/test.sh --filter ControlPlaneTests
#
# Environment:
#
#   BERTH_TEST_CONTROL_PLANE     folder of a control plane that runs already (hack/control-plane.sh start DIR): the
#                                tests use it, and it goes on running. Without it, one is started in a temporary folder
#                                and ended.
#   BERTH_TEST_CONTROLLER_PLANE  the same for the tests of the controller, which sees all of its control plane
#   KUBEBUILDER_ASSETS        folder that holds kube-apiserver and etcd, in place of Debian's; with kubelet,
#                             kube-controller-manager and kube-scheduler there, the end-to-end scenarios run on it too
#   BERTH_APISERVER_FLAGS     more flags for kube-apiserver
#   CI                        when set, a test that needs a real API server fails where it would be skipped
#
# The tests see both, BERTH_TEST_PLUGIN, the path of the static plugin, BERTH_TEST_CONTROLLER, that of the controller,
# and BERTH_TEST_KUBECTL, that of kubectl-berth. The first run on a machine builds kube-apiserver, which takes about five
# minutes.

set -euo pipefail
here=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")" && pwd -P)
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
    for script in hack/*.sh hack/*/*.sh .ci/run; do
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
    local code=$? folder
    trap - EXIT
    for folder in "${started[@]}"; do
        "$here/control-plane.sh" stop "$folder" >/dev/null 2>&1 || true
        if ((code == 0)); then rm -rf "$folder"; else rm -rf "$folder/etcd"; fi
    done
    exit "$code"
}

# use_control_plane VARIABLE: starts one, unless the variable names one that runs.
use_control_plane() {
    local variable=$1 folder
    if [[ -n ${!variable:-} ]]; then
        "$here/control-plane.sh" status "${!variable}" >&2 || die "$variable: no API server is ready in ${!variable}"
        return
    fi
    folder=$(mktemp -d -t berth-test.XXXXXX)
    started+=("$folder")
    "$here/control-plane.sh" start "$folder" || return 1
    say "the server's logs are in $folder; they are kept when a test fails"
    export "$variable=$folder"
}

# run_tests ARGUMENT...: swift test. What failed is told again at the end, because a reader may have kept that alone.
run_tests() {
    local log code=0
    log=$(mktemp -t berth-test-log.XXXXXX)
    swift test --disable-xctest "$@" 2>&1 | tee "$log" || code=1
    if ((code != 0)); then
        say 'what failed, once more:'
        grep -aE '^(✘|↳)|: error: ' "$log" | grep -av '^✘ Suite' || true
    fi
    rm -f "$log"
    return "$code"
}

cd "$root"
unset BERTH_STATIC
exit_on_signals

step 'setup' "$here/setup.sh" --with-nodes
step 'bash -n' check_scripts
step 'swift format lint' lint
step 'stubs for the static link' "$here/curl-stubs.sh" --check
step 'chart' "$here/chart-check.sh"
step 'documents' "$here/docs-check.sh"
step 'policies' "$here/policy-check.sh"
step 'chart on an API server' "$here/chart-apply.sh"
step 'swift build --build-tests' swift build --build-tests
step 'static builds' "$here/build.sh" --all
step 'the same build again' "$here/reproducible-check.sh" berth
step 'images' "$here/image.sh" --no-build
step 'end to end, on real kubelets' "$here/e2e.sh" --no-build

started=()
trap clean_up EXIT
step 'control plane' use_control_plane BERTH_TEST_CONTROL_PLANE
step 'control plane of the controller' use_control_plane BERTH_TEST_CONTROLLER_PLANE
export BERTH_TEST_PLUGIN=$root/dist/berth
BERTH_TEST_CONTROLLER=$(swift build --show-bin-path)/berth-controller
BERTH_TEST_KUBECTL=$(swift build --show-bin-path)/kubectl-berth
export BERTH_TEST_CONTROLLER BERTH_TEST_KUBECTL
# Most tests wait for processes that share two cores with the API server; more of them at once only wait longer. Those of
# the controller run one after another, and each waits for its turn behind the others that are due.
export SWT_EXPERIMENTAL_MAXIMUM_PARALLELIZATION_WIDTH=${SWT_EXPERIMENTAL_MAXIMUM_PARALLELIZATION_WIDTH:-4}
say "swift test $*; $SECONDS s so far"
run_tests "$@"
