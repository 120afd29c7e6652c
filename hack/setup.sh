#!/usr/bin/env bash
# Installs what building and testing Berth needs and this machine lacks: Debian packages, with apt-get, as root or
# through sudo. Then checks for a Swift toolchain, which it does not install.
#
# Usage: hack/setup.sh [--check] [--with-nodes]
#
#   --check       install nothing; name what is missing and exit 1 when something is
#   --with-nodes  also what hack/image.sh, hack/cluster.sh and hack/e2e.sh run: containerd, runc, umoci, a static busybox,
#                 each only where the program is not there already; and what the chart is rendered and checked with, Go
#                 and libraries of Debian
#
# Without apt-get it only checks.
#
# Environment:
#
#   KUBEBUILDER_ASSETS  folder that holds kube-apiserver and etcd: with it, what builds them from Debian's source
#                       package is not needed, for nodes only if it holds kubelet too. It must be set on any system but
#                       Debian 12.

set -euo pipefail
# shellcheck source=hack/lib.sh
. "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/lib.sh"

swift_minimum=6.2

# The static link of the plugin, the C targets, and what the scripts and the tests run.
packages=(
    libcurl4-openssl-dev libssl-dev libnghttp2-dev zlib1g-dev libc6-dev gcc pkg-config file
    openssl iproute2 iputils-ping containernetworking-plugins
)
# What hack/render.sh and hack/api-reference.sh are built with, and what hack/policy-check.sh makes its environment with.
chart_packages=(
    golang-github-masterminds-sprig-dev golang-k8s-sigs-yaml-dev golang-gopkg-yaml.v2-dev
    golang-github-xeipuuv-gojsonschema-dev
    python3 python3-venv
)
# What kube-apiserver is built with, and etcd.
control_plane_packages=(
    etcd-server golang-1.19-go golang-github-modern-go-reflect2-dev dpkg-dev make rsync
)

install=yes with_nodes=
for argument; do
    case $argument in
        --check) install= ;;
        --with-nodes) with_nodes=yes ;;
        --help | -h) usage && exit ;;
        *) usage >&2 && exit 2 ;;
    esac
done

has_kubectl() { type -P kubectl >/dev/null; }
has_assets() { [[ -x ${KUBEBUILDER_ASSETS:-}/kube-apiserver && -x ${KUBEBUILDER_ASSETS:-}/etcd ]]; }
has_node_assets() { [[ -z $with_nodes || -x ${KUBEBUILDER_ASSETS:-}/kubelet ]]; }
is_installed() { [[ $(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null) == installed ]]; }

# The packages of programs that nodes need and that are not on PATH. Whoever has a container runtime from elsewhere keeps
# it: Debian's would replace it.
node_packages() {
    local program
    for program in containerd runc umoci; do type -P "$program" >/dev/null || echo "$program"; done
    file --brief --dereference "$(type -P busybox || true)" 2>/dev/null | grep -q 'statically linked' || echo busybox-static
}

install_packages() {
    local package missing=()
    if [[ -n $with_nodes ]]; then
        mapfile -t -O "${#packages[@]}" packages < <(node_packages)
        packages+=("${chart_packages[@]}")
        # Debian 12's; any other from 1.19 on serves.
        go_folder >/dev/null || packages+=("$(apt-cache show golang-1.19-go >/dev/null 2>&1 && echo golang-1.19-go || echo golang-go)")
    fi
    has_kubectl || packages+=(kubernetes-client)
    has_assets && has_node_assets || packages+=("${control_plane_packages[@]}")
    for package in "${packages[@]}"; do
        is_installed "$package" || missing+=("$package")
    done
    if ((${#missing[@]} == 0)); then
        say 'every package is installed'
        return
    fi
    [[ -n $install ]] || die "missing packages: ${missing[*]}"
    say "installing ${missing[*]}"
    # A third-party source that does not answer is no reason to stop: the installation says whether anything is missing.
    as_root apt-get -qq update || say 'some package sources could not be read: going on'
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq install --yes --no-install-recommends "${missing[@]}" ||
        die "these could not be installed: ${missing[*]}"
    disable_service etcd etcd-server
    disable_service containerd containerd
}

# disable_service SERVICE PACKAGE: a package that was missing starts a service that Berth does not use. Whoever had it
# before keeps it.
disable_service() {
    if [[ " ${missing[*]} " == *" $2 "* && -d /run/systemd/system ]]; then
        say "disabling the service $1, which came with the package $2"
        as_root systemctl disable --now "$1.service" || true
    fi
}

check_without_apt() {
    local name missing=()
    for name in gcc nm pkg-config file openssl ip ss ping flock setsid; do
        command -v "$name" >/dev/null || missing+=("the program $name")
    done
    for name in libcurl libssl libnghttp2 zlib; do
        pkg-config --exists "$name" 2>/dev/null || missing+=("the headers of $name")
    done
    for name in libcurl libssl libcrypto libnghttp2 libz libc; do
        [[ $(gcc -print-file-name="$name.a" 2>/dev/null) == /* ]] || missing+=("the archive $name.a")
    done
    [[ -x /usr/lib/cni/bridge || -x /opt/cni/bin/bridge ]] || missing+=('the CNI plugins, in /opt/cni/bin')
    if [[ -n $with_nodes ]]; then
        for name in containerd runc ctr umoci busybox; do
            command -v "$name" >/dev/null || missing+=("the program $name")
        done
        { go_folder >/dev/null && [[ -d /usr/share/gocode/src/github.com/Masterminds/sprig ]]; } ||
            missing+=('Go and the libraries of hack/render.sh, where Debian has them')
        has_node_assets ||
            missing+=('kubelet, kube-controller-manager and kube-scheduler: KUBEBUILDER_ASSETS must hold them too')
    fi
    has_kubectl || missing+=('the program kubectl')
    has_assets || missing+=('kube-apiserver and etcd: set KUBEBUILDER_ASSETS to a folder that holds them')
    if ((${#missing[@]} > 0)); then
        say 'there is no apt-get here; missing:'
        printf '  %s\n' "${missing[@]}" >&2
        exit 1
    fi
    say 'every program and library was found'
}

check_swift() {
    local version
    version=$(swift --version 2>/dev/null | sed -n 's/.*Swift version \([0-9.]*\).*/\1/p' | head -n 1) || true
    if [[ -z $version ]]; then
        die "there is no Swift toolchain on PATH; install Swift $swift_minimum or newer from https://www.swift.org/install"
    fi
    [[ $(printf '%s\n' "$swift_minimum" "$version" | sort -V | head -n 1) == "$swift_minimum" ]] ||
        die "Swift $version is on PATH; Berth needs $swift_minimum or newer"
    say "Swift $version"
}

if [[ -n ${KUBEBUILDER_ASSETS:-} ]] && ! has_assets; then
    die "KUBEBUILDER_ASSETS: no kube-apiserver and etcd in $KUBEBUILDER_ASSETS"
fi
# hack/cluster.sh takes nothing from a folder that holds no kubelet.
has_node_assets || PATH=${PATH#"${KUBEBUILDER_ASSETS:-}":}
if command -v apt-get >/dev/null; then install_packages; else check_without_apt; fi
check_swift
