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
# Without arguments the tests of the controller, of which one after another has a control plane to itself, run beside all
# others, and the last line is `N passed, N failed`.
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
    if [[ -n $beside ]]; then { kill "$beside" && wait "$beside"; } 2>/dev/null || true; fi
    rm -rf "$logs"
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
    local code=0
    swift test --disable-xctest "$@" 2>&1 | tee "$logs/tests" || code=1
    tell_failures "$logs/tests"
    return "$code"
}

tell_failures() {
    local failures
    failures=$(grep -ahE '^(✘|↳)|error: ' "$@" | grep -avE '^(✘ (Suite|Test run)|↳ (Testing Library|Target Platform))' || true)
    if [[ -n $failures ]]; then printf '%s\n%s\n' "${0##*/}: what failed, once more:" "$failures"; fi
}

# run_all_tests: those of the controller beside the others, and told after them.
run_all_tests() {
    local controller=^IPAMControllerTests ended=0 passed failed
    # What `swift test` runs: two of it at once meet at the build's database. Into a pipe it would write colours for it.
    local tests=(env NO_COLOR=1 "$binaries/berthPackageTests.xctest" --testing-library swift-testing)
    "${tests[@]}" --filter "$controller" >"$logs/controller" 2>&1 &
    beside=$!
    "${tests[@]}" --skip "$controller" 2>&1 | tee "$logs/others" || ended=1
    wait "$beside" || ended=1
    beside=''
    cat "$logs/controller"
    tell_failures "$logs/others" "$logs/controller"
    passed=$(grep -ah '^✔ Test .* passed after ' "$logs"/* | grep -vc '^✔ Test run with' || true)
    failed=$(grep -ah '^✘ Test .* failed after ' "$logs"/* | grep -vc '^✘ Test run with' || true)
    # One that was killed told of no failure.
    if ((ended != 0 && failed == 0)); then failed=1; fi
    echo "$passed passed, $failed failed"
    ((ended == 0))
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

started=() beside=''
logs=$(mktemp -d -t berth-test-log.XXXXXX)
trap clean_up EXIT
step 'control plane' use_control_plane BERTH_TEST_CONTROL_PLANE
step 'control plane of the controller' use_control_plane BERTH_TEST_CONTROLLER_PLANE
export BERTH_TEST_PLUGIN=$root/dist/berth
binaries=$(swift build --show-bin-path)
export BERTH_TEST_CONTROLLER=$binaries/berth-controller
export BERTH_TEST_KUBECTL=$binaries/kubectl-berth
# Most tests wait for processes that share two cores with the API servers; more of them at once only wait longer.
export SWT_EXPERIMENTAL_MAXIMUM_PARALLELIZATION_WIDTH=${SWT_EXPERIMENTAL_MAXIMUM_PARALLELIZATION_WIDTH:-4}
say "swift test $*; $SECONDS s so far"
if (($# == 0)); then run_all_tests; else run_tests "$@"; fi
