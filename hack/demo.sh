#!/usr/bin/env bash
# The main job, for real: forty containers on five nodes get their addresses from an API server, all at once.
#
# Usage: hack/demo.sh
#
# Starts etcd and kube-apiserver, applies the CRDs, the plugin's role and a dual-stack pair of pools, makes forty pods in
# the API and forty network namespaces that stand for their containers, and attaches these through the bridge plugin,
# which calls dist/berth, as a container runtime does it. Then it shows who holds which address, pings, detaches them all
# and shows that nothing is left.
#
# Five nodes are played on this machine: each has a berth.conf, a machine ID and a journal of its own, and all share one
# bridge, as if it were the wire between them. Network namespaces need root, or sudo. Everything is made in a temporary
# folder and removed at the end, also after an interrupt; when something fails, its logs stay.
#
# The first run on a machine builds kube-apiserver and the plugin, which takes about ten minutes; later ones take less
# than one.
#
# Environment:
#
#   KUBEBUILDER_ASSETS  folder that holds kube-apiserver and etcd, in place of Debian's; needed elsewhere than on
#                       Debian 12. `setup-envtest use -p path` downloads them and prints such a folder.

set -euo pipefail
here=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")" && pwd -P)
# shellcheck source=hack/lib.sh
. "$here/lib.sh"

pods=40
nodes=5
# The newest version that Debian's bridge plugin knows.
cni_version=1.0.0

if (($# > 0)); then
    usage
    [[ $1 == --help || $1 == -h ]] && exit
    exit 2
fi

# milliseconds: since the epoch.
milliseconds() { printf '%s' "$((${EPOCHREALTIME/[.,]/} / 1000))"; }

# seconds SINCE: how long ago that was, for people.
seconds() { awk "BEGIN { printf \"%.1f s\", ($(milliseconds) - $1) / 1000 }"; }

# step NAME COMMAND...: runs it and says how long it took.
step() {
    local since
    since=$(milliseconds)
    doing=$1
    shift
    say "$doing ..."
    # Nothing but `set -e` looks at the status, or `set -e` would not hold within the command.
    "$@"
    say "$doing: $(seconds "$since")"
}

# show COMMAND...: prints a command line as one would type it, and runs it.
show() {
    printf '$ %s\n' "$*"
    "$@"
    echo
}

kubectl() { "$kubectl" --kubeconfig "$dir/control-plane/admin.kubeconfig" "$@"; }

# Cluster

find_programs() {
    local folder
    need nsenter unshare ip ping base64
    kubectl=$(type -P kubectl) || die 'kubectl is not on PATH; hack/setup.sh installs it'
    for folder in /usr/lib/cni /opt/cni/bin; do
        if [[ -x $folder/bridge ]]; then main_plugins=$folder; fi
    done
    [[ -n ${main_plugins:-} ]] || die 'there is no bridge plugin; hack/setup.sh installs it'
}

# A server that is older than what the CRDs make use of ignores it, but a newer kubectl would refuse to send it.
apply_crds_and_roles() {
    local minor options=()
    minor=$(kubectl get --raw /version | sed -n 's/.*"minor": *"\([0-9]*\).*/\1/p')
    if ((${minor:-0} < 31)); then options=(--validate=false); fi
    # Not config/default, which refers to both: kubectl 1.20 does not follow that.
    show kubectl apply "${options[@]}" -k "$root/config/crd"
    show kubectl apply "${options[@]}" -k "$root/config/rbac"
    kubectl wait --for=condition=Established --timeout=30s crd/ippools.ipam.berth.dev crd/ipallocations.ipam.berth.dev \
        >/dev/null
}

# Without cooldown, so that a released address is gone from the table at once: there is no controller here.
apply_pools() {
    cat >"$dir/pools.yaml" <<'YAML'
apiVersion: ipam.berth.dev/v1alpha1
kind: IPPool
metadata: {name: blue-v4}
spec: {subnet: 10.19.120.0/24, gateway: 10.19.120.1, cooldown: 0s}
---
apiVersion: ipam.berth.dev/v1alpha1
kind: IPPool
metadata: {name: blue-v6}
spec: {subnet: "fd00:120::/64", gateway: "fd00:120::1", cooldown: 0s}
YAML
    show cat "$dir/pools.yaml"
    show kubectl apply -f "$dir/pools.yaml"
}

# Each node as its installation leaves it: berth.conf, and a kubeconfig with the token of the plugin's service account.
make_nodes() {
    local number node answer ca
    local path=/api/v1/namespaces/berth-system/serviceaccounts/berth-plugin/token
    echo '{"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}' >"$dir/token-request"
    # shellcheck source=/dev/null
    . "$dir/control-plane/env"
    ca=$(base64 -w0 "$dir/control-plane/pki/ca.crt")
    for ((number = 1; number <= nodes; number++)); do
        node=$dir/node-$number
        mkdir "$node"
        answer=$(kubectl create --raw "$path" -f "$dir/token-request")
        sed -n 's/.*"token": *"\([^"]*\)".*/\1/p' <<<"$answer" >"$node/token"
        [[ -s $node/token ]] || die "the API server gave no token: $answer"
        openssl rand -hex 16 >"$node/machine-id"
        cat >"$node/berth.conf" <<JSON
{"nodeName": "node-$number", "kubeconfig": "$node/kubeconfig", "machineIDFile": "$node/machine-id",
 "journalDir": "$node/journal", "logFile": "$node/berth.log"}
JSON
        cat >"$node/kubeconfig" <<JSON
{"apiVersion": "v1", "kind": "Config", "current-context": "berth",
 "clusters": [{"name": "berth", "cluster": {"server": "$APISERVER_URL", "certificate-authority-data": "$ca"}}],
 "users": [{"name": "berth", "user": {"tokenFile": "$node/token"}}],
 "contexts": [{"name": "berth", "context": {"cluster": "berth", "user": "berth"}}]}
JSON
    done
}

make_pods() {
    local number
    kubectl create namespace demo >/dev/null
    for ((number = 1; number <= pods; number++)); do
        cat <<YAML
---
apiVersion: v1
kind: Pod
metadata: {name: pod-$(printf %02d "$number"), namespace: demo}
spec:
  nodeName: node-$(((number - 1) % nodes + 1))
  automountServiceAccountToken: false
  containers: [{name: none, image: none}]
YAML
    done | kubectl create -f - >/dev/null
    kubectl get pods --namespace demo \
        -o jsonpath='{range .items[*]}{.metadata.name} {.metadata.uid} {.spec.nodeName}{"\n"}{end}' >"$dir/pods"
}

# Containers

# A container of which there is only its network namespace, kept by a bind mount.
make_containers() {
    local name uid node
    mkdir "$dir/netns" "$dir/containers"
    while read -r name uid node; do
        : >"$dir/netns/$name"
        as_root unshare --net="$dir/netns/$name" true
        openssl rand -hex 32 >"$dir/containers/$name.id"
        : >"$dir/containers/$name.result"
    done <"$dir/pods"
}

# cni COMMAND NAME UID NODE [MEMBER]: calls the bridge plugin for a container as its runtime does. MEMBER is more of the
# network configuration.
cni() {
    local command=$1 name=$2 uid=$3 node=$4 member=${5:-} id
    id=$(<"$dir/containers/$name.id")
    as_root env -i PATH="$PATH" CNI_COMMAND="$command" CNI_CONTAINERID="$id" CNI_NETNS="$dir/netns/$name" CNI_IFNAME=eth0 \
        CNI_ARGS="K8S_POD_UID=$uid;IgnoreUnknown=1;K8S_POD_NAMESPACE=demo;K8S_POD_NAME=$name;K8S_POD_INFRA_CONTAINER_ID=$id" \
        CNI_PATH="$root/dist:$main_plugins" "$main_plugins/bridge" <<JSON
{"cniVersion": "$cni_version", "name": "blue", "type": "bridge", "bridge": "$bridge", $member
 "ipam": {"type": "berth", "configDir": "$dir/$node", "pools": ["blue-v4", "blue-v6"]}}
JSON
}

attach() { cni ADD "$@" >"$dir/containers/$1.result" 2>"$dir/containers/$1.log"; }

detach() {
    cni DEL "$@" "\"prevResult\": $(<"$dir/containers/$1.result")," >"$dir/containers/$1.end" 2>>"$dir/containers/$1.log"
}

# all_at_once FUNCTION: calls it for every container, and fails when one of the calls does.
all_at_once() {
    local function=$1 name uid node number failures=0
    local names=() processes=()
    while read -r name uid node; do
        "$function" "$name" "$uid" "$node" </dev/null &
        names+=("$name")
        processes+=($!)
    done <"$dir/pods"
    for number in "${!processes[@]}"; do
        if ! wait "${processes[number]}"; then
            name=${names[number]}
            say "$name: $function failed:"
            cat "$dir/containers/$name".{result,end,log} >&2 2>/dev/null || true
            echo >&2
            failures=$((failures + 1))
        fi
    done
    ((failures == 0))
}

# addresses NAME: those that the runtime was told, IPv4 first.
addresses() { grep -o '"address": *"[^"/]*' "$dir/containers/$1.result" | sed 's/.*"//'; }

# Every container has two addresses, no two are equal, and the ledger names each pod beside its own.
check_addresses() {
    local name rest count
    while read -r name rest; do
        addresses "$name" | sed "s/^/$name /"
    done <"$dir/pods" | sort >"$dir/told"
    kubectl get ipallocations -o jsonpath='{range .items[*]}{.spec.pod.name} {.spec.address}{"\n"}{end}' |
        sort >"$dir/entered"
    count=$(cut -d' ' -f2 "$dir/told" | sort -u | wc -l)
    ((count == 2 * pods)) || die "expected $((2 * pods)) different addresses, found $count"
    diff "$dir/told" "$dir/entered" >&2 || die 'the ledger does not say what the containers were told'
    say "  $count addresses, all different, each under the name of its pod"
}

# reach FROM TO: pings the addresses of one container from another's network namespace.
reach() {
    local from=$1 to=$2 address answer
    for address in $(addresses "$to"); do
        answer=$(as_root nsenter --net="$dir/netns/$from" ping -c 1 -W 5 "$address") || die "$from -> $to: $answer"
        say "  $from -> $to: $(sed -n 2p <<<"$answer")"
    done
}

check_empty() {
    local left
    left=$(kubectl get ipallocations -o name)
    [[ -z $left ]] || die "addresses were not released: $left"
    left=$(as_root find "$dir"/node-*/journal/entries -type f)
    [[ -z $left ]] || die "journals are not empty: $left"
    left=$(ip -o link show master "$bridge")
    [[ -z $left ]] || die "interfaces are left: $left"
}

# The end

remove_network() {
    local namespace
    for namespace in "$dir"/netns/*; do
        if [[ -e $namespace ]]; then as_root umount --quiet "$namespace" || true; fi
    done
    if ip link show "$bridge" >/dev/null 2>&1; then as_root ip link delete "$bridge"; fi
}

# shellcheck disable=SC2317  # the EXIT trap
clean_up() {
    local code=$? since
    trap - EXIT
    trap '' HUP INT TERM
    since=$(milliseconds)
    wait
    remove_network
    "$here/control-plane.sh" stop "$dir/control-plane" >/dev/null 2>&1 || true
    if ((code == 0 || code > 128)); then
        as_root rm -rf "$dir"
    else
        rm -rf "$dir/control-plane/etcd"
        say "failed: $doing; what is left to look at is in $dir"
    fi
    if ((code == 0)); then
        say "clean up: $(seconds "$since")"
        say "success: $pods pods on $nodes nodes had $((2 * pods)) addresses, and none is left; $(seconds "$began")"
    fi
    exit "$code"
}

began=$(milliseconds)
exit_on_signals
step 'setup' "$here/setup.sh"
step 'build the plugin' "$here/build.sh"
find_programs
as_root true || die 'network namespaces need root'

# At most 15 bytes, and no other run has it.
bridge=berth$$
dir=$(mktemp -d -t berth-demo.XXXXXX)
trap clean_up EXIT
mkdir "$dir/control-plane"
step 'control plane' "$here/control-plane.sh" start "$dir/control-plane"
step 'CRDs and roles' apply_crds_and_roles
step 'pools' apply_pools
step 'five nodes with the token of the plugin'\''s service account' make_nodes
step 'forty pods' make_pods
step 'forty network namespaces' make_containers
step 'ADD of forty containers at once' all_at_once attach
show kubectl get ipallocations
step 'compare' check_addresses
step 'ping' reach pod-01 pod-02
step 'DEL of forty containers at once' all_at_once detach
show kubectl get ipallocations
step 'look for leftovers' check_empty
