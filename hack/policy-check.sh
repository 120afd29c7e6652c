#!/usr/bin/env bash
# Evaluates the policies of config/policy on a table of writes, hack/policy-check/table.json, without a cluster: what each
# rule allows and what it denies. Tests/ControlPlaneTests/NodePolicyTests.swift makes the same writes at an API server
# that has ValidatingAdmissionPolicy.
#
# Usage: hack/policy-check.sh
#
# Two evaluators of CEL, written independently, must agree with the table. They come from PyPI into a virtual environment
# in ~/.cache/berth. Where that cannot be made, the check is skipped with a message that says so; in CI it then fails.
#
# Environment:
#
#   CI              when set, the check is not skipped
#   XDG_CACHE_HOME  where the cache lies, in its folder `berth`; by default ~/.cache

set -euo pipefail
here=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")" && pwd -P)
# shellcheck source=hack/lib.sh
. "$here/lib.sh"

if (($# > 0)); then
    usage
    [[ $1 == --help || $1 == -h ]] && exit
    exit 2
fi

# The newest that were tried.
packages=(cel-python==0.5.0 cel-expr-python==0.1.3 PyYAML==6.0.4)

skip() {
    [[ -z ${CI:-} ]] || die "$1"
    say "SKIPPED: the table of writes was not evaluated: $1"
    exit 0
}

# Makes the environment, unless it is there.
prepare() {
    local new=$environment.$$
    [[ ! -x $environment/bin/python ]] || return 0
    command -v python3 >/dev/null || skip 'python3 is not on PATH'
    mkdir -p "${environment%/*}"
    if ! python3 -m venv "$new" >"$new.log" 2>&1 ||
        ! "$new/bin/python" -m pip install --quiet --disable-pip-version-check "${packages[@]}" >>"$new.log" 2>&1; then
        tail -n 5 "$new.log" >&2
        rm -rf "$new" "$new.log"
        skip "Python cannot make an environment with ${packages[*]}"
    fi
    rm -f "$new.log"
    mv "$new" "$environment"
}

environment=${XDG_CACHE_HOME:-$HOME/.cache}/berth/policy-check-$(cksum <<<"${packages[*]}" | cut -d' ' -f1)
prepare
cd "$root"
for engine in cel-python cel-expr-python; do
    "$environment/bin/python" hack/policy-check/check.py "$engine" hack/policy-check/table.json config/policy/node_*.yaml >&2 ||
        die 'the policies do not do what the table says'
done
