#!/usr/bin/env bash
# Checks that what the documents refer to exists.
#
# Usage: hack/docs-check.sh
#
#   links to files of this repository, and to headings in them
#   scripts and folders that are named in code, such as `hack/test.sh`
#   test suites that docs/architecture.md names
#   tests and scenarios that docs/acceptance.md names, at least one for each statement, and each test whose display
#   name begins with the number of a statement, in the row of that statement
#
# and that docs/api.md is what config/crd says (hack/api-reference.sh --check). Links to elsewhere are not followed.

set -euo pipefail
here=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")" && pwd -P)
# shellcheck source=hack/lib.sh
. "$here/lib.sh"

if (($# > 0)); then
    usage
    [[ $1 == --help || $1 == -h ]] && exit
    exit 2
fi
cd "$root"
documents=(README.md CHANGELOG.md docs/*.md charts/*/README.md)
problems=0

problem() {
    say "error: $*"
    problems=$((problems + 1))
}

# prose FILE: without blocks of code.
prose() { sed -E '/^ *```/,/^ *```/d' "$1"; }

# anchors FILE: what a link may have behind '#', as GitHub makes it of headings.
anchors() {
    prose "$1" | sed -nE 's/^#+ +//p' | tr '[:upper:]' '[:lower:]' |
        sed -E 's/\[([^]]*)\]\([^)]*\)/\1/g; s/[^a-z0-9 _-]//g; s/ /-/g'
}

check_links() {
    local document=$1 target path anchor
    while read -r target; do
        if [[ $target == *://* || $target == mailto:* ]]; then continue; fi
        path=${target%%#*}
        anchor=${target#"$path"}
        if [[ -z $path ]]; then path=$document; else path=$(dirname "$document")/$path; fi
        if [[ ! -e $path ]]; then
            problem "$document: there is no $target"
        elif [[ -n $anchor ]] && ! anchors "$path" | grep -qxF -- "${anchor#\#}"; then
            problem "$document: no heading for $target"
        fi
    done < <(prose "$document" | sed -E 's/`[^`]*`//g' | { grep -oE '\]\([^) ]+\)' || true; } | sed -E 's/^\]\(//; s/\)$//')
}

check_paths() {
    local document=$1 path
    while read -r path; do
        [[ -e $path ]] || problem "$document: there is no $path"
    done < <(grep -oE '\b(hack|config|charts|Sources|Tests)/[A-Za-z0-9_./-]*[A-Za-z0-9]' "$document" | sort -u)
}

check_tests() {
    local name
    while read -r name; do
        compgen -G "Tests/$name" >/dev/null || compgen -G "Tests/$name.swift" >/dev/null ||
            compgen -G "Tests/*/$name.swift" >/dev/null || problem "docs/architecture.md: there is no test $name"
    done < <(grep -oE '`[A-Za-z]+Tests(/[A-Za-z]+Tests)?`' docs/architecture.md | tr -d '`' | sort -u)
}

# display_names: of all tests, one a line. One that is commented out is none.
display_names() { grep -rhE '^[^/]*func `[^`]+`' Tests --include='*.swift' | sed -E 's/^[^`]*`([^`]+)`.*/\1/'; }

check_acceptance() {
    local page=docs/acceptance.md line id name
    local statement='[A-Z][0-9]+' names='(`[^`]+`)(<br>`[^`]+`)*'
    local -A exists=() rows=()
    while IFS= read -r name; do exists[$name]=yes; done < <(display_names)
    while IFS= read -r name; do exists["hack/e2e.sh $name"]=yes; done < <("$here/e2e.sh" --list)
    while IFS= read -r line; do
        if [[ $line != '|'* || $line == '|---'* || $line == '| | Statement | Shown by |' ]]; then continue; fi
        # Nothing but names is in the last column, so that no word stands for a test.
        if [[ ! $line =~ ^\|\ ($statement)\ \|\ [^|]+\ \|\ ($names)\ \|$ ]]; then
            problem "$page: not a number, a statement and tests: $line"
            continue
        fi
        id=${BASH_REMATCH[1]}
        line=${BASH_REMATCH[2]}
        rows[$id]+=$line
        while [[ $line =~ ^(<br>)?\`([^\`]+)\` ]]; do
            line=${line#"${BASH_REMATCH[0]}"}
            name=${BASH_REMATCH[2]}
            [[ -n ${exists[$name]:-} ]] || problem "$page: $id: there is no $name"
        done
    done <"$page"
    ((${#rows[@]} > 0)) || problem "$page: no statements"
    for name in "${!exists[@]}"; do
        [[ $name =~ ^$statement([, ]+$statement)*: ]] || continue
        for id in ${BASH_REMATCH[0]//[,:]/ }; do
            [[ ${rows[$id]:-} == *"\`$name\`"* ]] || problem "$page: $id does not name its test $name"
        done
    done
}

for document in "${documents[@]}"; do
    check_links "$document"
    check_paths "$document"
done
check_tests
check_acceptance
"$here/api-reference.sh" --check || problem 'the API reference'
((problems == 0)) || die "$problems problems"
say "${#documents[@]} documents refer to what exists"
