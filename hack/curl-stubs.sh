#!/usr/bin/env bash
# Writes Sources/CCurlStaticStubs/absent.h: the symbols that the system's libcurl.a refers to and that none of the
# archives of a static link defines.
#
# Usage: hack/curl-stubs.sh [--check]
#
#   --check  write nothing; fail when the file in the tree differs from what would be written
#
# Debian builds libcurl.a with GSS-API, LDAP, RTMP, SSH2, PSL, IDN2, brotli and zstd. https reaches none of them, and
# GSS-API has no static library at all, so Sources/CCurlStaticStubs defines what is missing.

set -euo pipefail
# shellcheck source=hack/lib.sh
. "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/lib.sh"

# curl_global_init, curl_global_cleanup and curl_version call these, whatever the protocol, and get this answer: success,
# no version, no such library. ldap_get_option must fail (LDAP_OPT_ERROR), or curl_version prints what it did not fill in.
called_at_start='
    BrotliDecoderVersion=0
    ZSTD_versionNumber=0
    idn2_check_version=0
    ldap_get_option=-1
    libssh2_exit=0
    libssh2_init=0
    libssh2_version=0
    psl_get_version=0'
variables='GSS_C_NT_HOSTBASED_SERVICE'

# What a static executable is linked with, in any order.
archives=(libssl libcrypto libnghttp2 libz libc libm libpthread libdl librt libresolv libgcc libgcc_eh)

case ${1:-} in
    '' | --check) ;;
    --help | -h) usage && exit ;;
    *) usage >&2 && exit 2 ;;
esac
need gcc nm

# archive NAME: the path of each file behind it, as the linker would find it. libm.a is a linker script that names two.
archive() {
    local path
    path=$(gcc -print-file-name="$1.a")
    [[ $path == /* ]] || die "$1.a is not installed; hack/setup.sh installs what is needed"
    if [[ $(head -c 7 "$path") == '!<arch>' ]]; then
        printf '%s\n' "$path"
    else
        grep -oE '/[^ ]+\.a' "$path"
    fi
}

# symbols FILTER FILE...: the external symbols that the files define or leave undefined, one a line.
symbols() {
    local filter=$1
    shift
    nm -g "--$filter-only" --format=posix --quiet "$@" | awk 'NF > 1 { print $1 }' | LC_ALL=C sort -u
}

generate() {
    local curl name paths=()
    curl=$(archive libcurl)
    for name in "${archives[@]}"; do
        # shellcheck disable=SC2207  # one path a line, without blanks
        paths+=($(archive "$name"))
    done
    symbols undefined "$curl" >"$scratch/undefined"
    symbols defined "$curl" "${paths[@]}" >"$scratch/defined"
    cat <<'HEADER'
// Written by hack/curl-stubs.sh. Do not edit.
// What libcurl.a refers to and no archive of the static link defines. stubs.c gives the three macros their meaning.

HEADER
    LC_ALL=C comm -23 "$scratch/undefined" "$scratch/defined" |
        awk -v at_start="$called_at_start" -v variables="$variables" '
            BEGIN {
                count = split(at_start, words)
                for (i = 1; i <= count; i++) { split(words[i], pair, "="); line[pair[1]] = "RETURNS(" pair[1] ", " pair[2] ")" }
                count = split(variables, words)
                for (i = 1; i <= count; i++) line[words[i]] = "VARIABLE(" words[i] ")"
            }
            $1 == "_GLOBAL_OFFSET_TABLE_" { next }  # the linker makes it
            { print ($1 in line ? line[$1] : "ABORTS(" $1 ")") }' | LC_ALL=C sort
}

file=$root/Sources/CCurlStaticStubs/absent.h
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
exit_on_signals
new=$scratch/absent.h
generate >"$new"
count=$(grep -c '^[A-Z]*(' "$new")
if [[ ${1:-} == --check ]]; then
    diff -u "$file" "$new" >&2 || die "Sources/CCurlStaticStubs/absent.h differs from this system's libcurl.a; run hack/curl-stubs.sh"
    say "absent.h is up to date ($count symbols)"
else
    install -m 644 "$new" "$file"
    say "wrote $count symbols to Sources/CCurlStaticStubs/absent.h"
fi
