#!/usr/bin/env bash
# Builds executables a second time, in a copy of the checkout with a longer path, and compares them with those in dist/.
#
# Usage: hack/reproducible-check.sh [PRODUCT...]
#
#   PRODUCT  what hack/build.sh has made, from the checkout as it is now; by default berth
#
# Where the checkout cannot be mounted (hack/build.sh --help), or is none of Git's, it says so and compares nothing.

set -euo pipefail
here=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")" && pwd -P)
# shellcheck source=hack/lib.sh
. "$here/lib.sh"

case ${1:-} in
    --help | -h) usage && exit ;;
esac
products=("$@")
((${#products[@]} > 0)) || products=(berth)

cd "$root"
need git cmp sha256sum
if [[ ! -d .build/reproducible ]]; then
    say 'hack/build.sh could not build reproducibly here: nothing is compared'
    exit
fi
if ! git rev-parse --git-dir >/dev/null 2>&1; then
    say 'this is no Git checkout, which tells what belongs to the source: nothing is compared'
    exit
fi
for product in "${products[@]}"; do
    [[ -x dist/$product ]] || die "dist/$product is missing; hack/build.sh $product makes it"
done

exit_on_signals
work=$(mktemp -d -t berth-reproducible.XXXXXX)
trap 'rm -rf "$work"' EXIT
copy=$work/another/folder/than/before
mkdir -p "$copy"
git ls-files -z --cached --others --exclude-standard | while IFS= read -r -d '' path; do
    if [[ -e $path ]]; then printf '%s\0' "$path"; fi
done | xargs -0 cp --parents --target-directory "$copy"
# The packages of the first build: there may be newer ones.
cp Package.resolved "$copy"
"$copy/hack/build.sh" "${products[@]}" >&2

for product in "${products[@]}"; do
    first=$(sha256sum <"dist/$product") second=$(sha256sum <"$copy/dist/$product")
    [[ $first == "$second" ]] ||
        die "dist/$product differs from a second build: $(cmp -l "dist/$product" "$copy/dist/$product" 2>&1 | wc -l) bytes;" \
            'was it built from this checkout?'
    say "dist/$product is the same in both builds: SHA-256 ${first%% *}"
done
