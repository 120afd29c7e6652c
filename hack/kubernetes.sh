#!/usr/bin/env bash
# Prints the folder that holds the Kubernetes binaries for tests, and builds them first when they are not cached.
#
# Usage: hack/kubernetes.sh
#
# They come from Debian's source package `kubernetes`, which the system's own package sources lead to, by the recipe in
# hack/build-kubernetes.sh. The build takes about eight minutes on two cores and 2 GB of disk while it runs. The
# result is kept in a folder named by the version of the source and the hash of the recipe.
#
# Environment:
#
#   XDG_CACHE_HOME  where the cache lies, in its folder `berth`; by default ~/.cache

set -euo pipefail
here=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")" && pwd -P)
# shellcheck source=hack/lib.sh
. "$here/lib.sh"

recipe=$here/build-kubernetes.sh
progress_seconds=20

if (($# > 0)); then
    usage
    [[ $1 == --help || $1 == -h ]] && exit
    exit 2
fi

cache=${XDG_CACHE_HOME:-$HOME/.cache}/berth
hash=$(short_hash "$recipe")

# folder VERSION: where the binaries of this source version and this recipe are.
folder() { printf '%s/kubernetes-%s-%s-%s' "$cache" "$1" "$(uname -m)" "$hash"; }

finish_if_cached() {
    if [[ -x $(folder "$1")/kubelet ]]; then
        folder "$1"
        echo
        exit 0
    fi
}

# The version that the package lists on this machine know, without asking the network; empty when they do not.
known_version() {
    apt-cache show --no-all-versions kubernetes-client 2>/dev/null | awk '
        $1 == "Version:" { version = $2 }
        $1 == "Source:" && $3 { gsub("[()]", "", $3); source = $3 }
        END { print source ? source : version }'
}

sources_of_lines() {
    awk -v suites="$1" '
        $1 == "deb" {
            line = $0; sub(/^[ \t]*deb[ \t]+/, "", line)
            bare = line; sub(/^\[[^]]*\][ \t]+/, "", bare)
            split(bare, words, /[ \t]+/)
            if (words[1] ~ /debian/ && words[2] ~ suites && bare " " ~ / main /) print "deb-src " line
        }'
}

sources_of_stanzas() {
    awk -v suites="$1" '
        BEGIN { RS = ""; FS = "\n" }
        {
            stanza = kept = ""; main = debian = disabled = 0
            for (i = 1; i <= NF; i++) {
                if ($i ~ /^#/) continue
                key = tolower($i); sub(":.*", "", key)
                value = $i; sub("^[^:]*:[ \t]*", "", value)
                count = split(value, words, /[ \t]+/)
                for (j = 1; j <= count; j++) {
                    if (key == "suites" && words[j] ~ suites) kept = kept " " words[j]
                    if (key == "components" && words[j] == "main") main = 1
                    if (key ~ /^(uris|signed-by)$/ && words[j] ~ /debian/) debian = 1
                    if (key == "enabled" && words[j] == "no") disabled = 1
                }
                if (key !~ /^(types|suites)$/) stanza = stanza $i "\n"
            }
            if (kept && main && debian && !disabled) print "Types: deb-src\nSuites:" kept "\n" stanza
        }'
}

# Writes a deb-src entry for each Debian entry of this system into $work/apt/sources: for what offers `main` of this
# release, in files of deb822 and of one-line format. The system's own files stay as they are.
write_sources() {
    local codename suites file
    codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-stable}")
    suites="^($codename|stable)(-updates|-security|/updates)?\$"
    mkdir -p "$work/apt/sources" "$work/apt/lists/partial" "$work/apt/archives/partial"
    for file in /etc/apt/sources.list.d/*.sources; do
        if [[ -f $file ]]; then sources_of_stanzas "$suites" <"$file" >"$work/apt/sources/${file##*/}"; fi
    done
    for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
        if [[ -f $file ]]; then sources_of_lines "$suites" <"$file" >"$work/apt/sources/${file##*/}"; fi
    done
    grep -rqs deb-src "$work/apt/sources" || die "the system's package sources name no Debian archive; set KUBEBUILDER_ASSETS"
    apt_options=(
        -o Dir::Etc::sourcelist=/dev/null -o "Dir::Etc::sourceparts=$work/apt/sources"
        -o "Dir::State::lists=$work/apt/lists" -o "Dir::Cache=$work/apt" -o APT::Sandbox::User="$(id -un)"
    )
}

# Runs the recipe with a line of progress every $progress_seconds.
build() {
    local log=$1 since=$SECONDS next=$progress_seconds status=0
    mkdir "$work/build"
    (cd "$work/build" && exec setsid "$recipe" "$work"/source/*.dsc "$work/out") </dev/null >"$log" 2>&1 &
    builder=$!
    while kill -0 "$builder" 2>/dev/null; do
        sleep 1
        if ((SECONDS - since >= next)); then
            say "building, $((SECONDS - since)) s: $(tail -n 1 "$log" | cut -c1-100)"
            next=$((next + progress_seconds))
        fi
    done
    wait "$builder" || status=$?
    builder=
    if ((status != 0)); then
        say "the build failed; the tail of $log:"
        tail -n 40 "$log" >&2
        exit 1
    fi
    say "built in $((SECONDS - since)) s"
}

# shellcheck disable=SC2317  # the EXIT trap
clean_up() {
    trap - EXIT
    # The recipe runs in a session, and so a process group, of its own.
    if [[ -n ${builder:-} ]]; then
        while kill -TERM -- "-$builder" 2>/dev/null; do sleep 0.1; done
    fi
    rm -rf "$work"
}

command -v apt-get >/dev/null ||
    die "only Debian has the source package; set KUBEBUILDER_ASSETS to a folder with kube-apiserver and etcd, and for" \
        "nodes with kubelet, kube-controller-manager and kube-scheduler too"
version=$(known_version)
if [[ -n $version ]]; then finish_if_cached "$version"; fi

need dpkg-source make rsync flock
[[ -x /usr/lib/go-1.19/bin/go ]] || die "Go 1.19 is not installed; hack/setup.sh installs what is needed"
mkdir -p "$cache" 2>/dev/null || true
[[ -w $cache ]] || die "$cache cannot be written; set XDG_CACHE_HOME to a folder that can"

exec {lock}>"$cache/lock"
if ! flock -n "$lock"; then
    say 'another run is building: waiting for it'
    flock "$lock"
fi
exit_on_signals
trap clean_up EXIT
# What an earlier run left that was killed.
rm -rf "$cache"/work.*
work=$(mktemp -d "$cache/work.XXXXXX")
write_sources
say 'reading the package sources'
apt-get "${apt_options[@]}" -qq update >&2 || say 'some package sources could not be read: going on with the others'
version=$(apt-cache "${apt_options[@]}" showsrc --only-source kubernetes | sed -n 's/^Version: //p' | sort -V | tail -n 1)
[[ -n $version ]] || die "this Debian has no source package kubernetes; set KUBEBUILDER_ASSETS"
finish_if_cached "$version"

log=$cache/build-kubernetes.log
say "building the Kubernetes binaries from source $version, once; the log is $log"
mkdir "$work/source"
(cd "$work/source" && apt-get "${apt_options[@]}" -qq source --only-source --download-only "kubernetes=$version") >&2
build "$log"
rm -rf "$(folder "$version")"
mv "$work/out" "$(folder "$version")"
finish_if_cached "$version"
die "the build left no kubelet; see $log"
