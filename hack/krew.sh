#!/usr/bin/env bash
# Packs kubectl-berth for krew, and fills in its manifest.
#
# Usage: hack/krew.sh pack [EXECUTABLE] [ARCHITECTURE]
#        hack/krew.sh manifest URL [HOMEPAGE]
#
#   pack      writes dist/kubectl-berth-VERSION-linux-ARCHITECTURE.tar.gz; by default of dist/kubectl-berth, which
#             hack/build.sh kubectl-berth makes, and of this machine's architecture (amd64 or arm64). Equal executables
#             give equal archives.
#   manifest  prints hack/krew.yaml for the archives of both architectures in dist/, as they will be downloaded from URL,
#             a folder. HOMEPAGE is URL unless it is given.
#
# To try it: hack/krew.sh manifest https://example.com/berth > berth.yaml && kubectl krew install --manifest=berth.yaml \
#     --archive=dist/kubectl-berth-VERSION-linux-amd64.tar.gz

set -euo pipefail
# shellcheck source=hack/lib.sh
. "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/lib.sh"

case ${1:-} in
    --help | -h) usage && exit ;;
    pack | manifest) ;;
    *)
        usage >&2
        exit 2
        ;;
esac

version=$(sed -n 's/.*static let text = "\(.*\)".*/\1/p' "$root/Sources/IPAMAPI/ProductVersion.swift")
[[ -n $version ]] || die 'Sources/IPAMAPI/ProductVersion.swift names no version'

# archive ARCHITECTURE: its path.
archive() { printf '%s/dist/kubectl-berth-%s-linux-%s.tar.gz\n' "$root" "$version" "$1"; }

pack() {
    local executable=${1:-$root/dist/kubectl-berth} architecture=${2:-} folder
    [[ -x $executable ]] || die "$executable is not there; hack/build.sh kubectl-berth makes it"
    if [[ -z $architecture ]]; then
        case $(uname -m) in
            x86_64) architecture=amd64 ;;
            aarch64) architecture=arm64 ;;
            *) die "no architecture is named, and $(uname -m) is neither amd64 nor arm64" ;;
        esac
    fi
    folder=$(mktemp -d -t berth-krew.XXXXXX)
    # shellcheck disable=SC2064  # the folder of now
    trap "rm -rf '$folder'" EXIT
    install -m 755 "$executable" "$folder/kubectl-berth"
    install -m 644 "$root/LICENSE" "$folder/LICENSE"
    mkdir -p "$root/dist"
    tar --create --directory "$folder" --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner --format=ustar \
        LICENSE kubectl-berth | gzip --no-name --best >"$(archive "$architecture")"
    say "$(archive "$architecture"): $(sha256sum "$(archive "$architecture")" | cut -c1-64)"
}

manifest() {
    local url=${1:-} homepage=${2:-${1:-}} architecture
    [[ $url == https://* ]] || die 'the URL of the folder with the archives must begin with https://'
    local expressions=(-e "s|@VERSION@|$version|g" -e "s|@URL@|${url%/}|g" -e "s|@HOMEPAGE@|$homepage|g" -e '/^#/d')
    for architecture in amd64 arm64; do
        [[ -f $(archive "$architecture") ]] || die "$(archive "$architecture") is not there; see --help"
        expressions+=(-e "s|@SHA256_${architecture^^}@|$(sha256sum "$(archive "$architecture")" | cut -c1-64)|")
    done
    sed "${expressions[@]}" "$root/hack/krew.yaml"
}

"$@"
