#!/usr/bin/env bash
# Installs the chart on a cluster of two real kubelets and does to it what happens to clusters. After each scenario the
# ledger is compared with the addresses that are configured in the network namespaces of the pods.
#
# Usage: hack/e2e.sh [OPTION...] [SCENARIO...]
#
#   --list      names the scenarios and ends
#   --no-build  takes the images that lie in dist/images
#   --keep      leaves the cluster running, and says how to end it
#   --on DIR    runs them on a cluster that was kept, which stays
#
# Without SCENARIO all of them run, in the order of --list. Prints one line for each, then `N passed, N failed`; exits 1
# when one failed, and keeps the logs of the nodes then. Needs root, and what hack/setup.sh installs.
#
# Environment: KUBEBUILDER_ASSETS as in hack/cluster.sh.

set -euo pipefail
here=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")" && pwd -P)
# shellcheck source=hack/lib.sh
. "$here/lib.sh"
# shellcheck source=hack/e2e/lib.sh
. "$here/e2e/lib.sh"
# shellcheck source=hack/e2e/pods.sh
. "$here/e2e/pods.sh"
# shellcheck source=hack/e2e/failures.sh
. "$here/e2e/failures.sh"
# shellcheck source=hack/e2e/ledger.sh
. "$here/e2e/ledger.sh"

# In the order in which they run.
scenarios=("${pod_scenarios[@]}" "${failure_scenarios[@]}" "${ledger_scenarios[@]}")

build=yes keep='' dir='' chosen=()
arguments=("$@")
while (($# > 0)); do
    case $1 in
        --help | -h) usage && exit ;;
        --list) printf '%s\n' "${scenarios[@]}" && exit ;;
        --no-build) build= ;;
        --keep) keep=yes ;;
        --on)
            [[ -f ${2:-}/env ]] || die "--on needs the folder of a cluster that runs"
            dir=$(cd "$2" && pwd -P) keep=yes
            shift
            ;;
        -*) usage >&2 && exit 2 ;;
        *)
            [[ " ${scenarios[*]} " == *" $1 "* ]] || die "there is no scenario $1; see --list"
            chosen+=("$1")
            ;;
    esac
    shift
done
((${#chosen[@]} > 0)) || chosen=("${scenarios[@]}")

# shellcheck disable=SC2317  # the EXIT trap
clean_up() {
    local code=$?
    trap - EXIT
    trap '' HUP INT TERM
    end_background
    if [[ -n $keep ]]; then
        say "the cluster runs on; to end it: hack/cluster.sh stop $dir"
        exit "$code"
    fi
    "$here/cluster.sh" stop "$dir" >/dev/null 2>&1 || true
    if ((code == 0 || code > 128)); then
        rm -rf "$dir"
    else
        rm -rf "$dir"/control-plane/etcd "$dir"/nodes/*/var/lib/containerd "$dir"/images
        say "the logs are in $dir"
    fi
    exit "$code"
}

# run NAME: one scenario and its audit, each in a subshell of its own, in which `set -e` holds.
run() {
    local name=$1 since=$SECONDS status=0 result
    say "$name ..."
    : >"$dir/notes"
    # Nothing may look at the subshell's status but the line after it, or `set -e` would not hold within.
    set +e
    (
        set -eE
        trap - EXIT
        trap 'echo "${BASH_SOURCE[0]##*/}, line $LINENO: $BASH_COMMAND"' ERR
        "scenario_${name//-/_}"
        audit
    ) >"$dir/$name.log" 2>&1
    status=$?
    set -e
    end_background
    result=$(tail -n 1 "$dir/$name.log")
    if ((status == 0)); then
        passed=$((passed + 1))
        printf 'ok      %-22s %3d s   %s\n' "$name" "$((SECONDS - since))" "$result"
    else
        failed=$((failed + 1))
        printf 'FAILED  %-22s %3d s   %s\n' "$name" "$((SECONDS - since))" "$result"
        sed 's/^/    /' "$dir/$name.log" | tail -n 25 >&2
        report_state >"$dir/$name.state" 2>&1 || true
        # What it took away is there again for the next one.
        apply "$dir/berth.yaml" || true
        kubectl uncordon "${nodes[@]}" >/dev/null || true
    fi
}

exit_on_signals
if ((EUID != 0)); then
    # What is built belongs to who builds it.
    if [[ -z $dir ]]; then
        "$here/setup.sh" --with-nodes
        if [[ -n $build ]]; then "$here/image.sh"; fi
        [[ -x ${KUBEBUILDER_ASSETS:-}/kubelet ]] || "$here/kubernetes.sh" >/dev/null
    fi
    # Where sudoers say secure_path, PATH is not preserved by asking.
    exec sudo --preserve-env=KUBEBUILDER_ASSETS,XDG_CACHE_HOME,HOME env "PATH=$PATH" "$0" --no-build "${arguments[@]}"
fi
if [[ -z $dir ]]; then
    "$here/setup.sh" --with-nodes
    if [[ -n $build ]]; then "$here/image.sh"; fi
    dir=$(mktemp -d -t berth-e2e.XXXXXX)
    trap clean_up EXIT
    "$here/cluster.sh" start "$dir" 2
    # shellcheck source=/dev/null
    . "$dir/env"
    install_berth
else
    trap clean_up EXIT
    # shellcheck source=/dev/null
    . "$dir/env"
fi
passed=0 failed=0
for name in "${chosen[@]}"; do run "$name"; done
echo "$passed passed, $failed failed"
((failed == 0))
