# What the clusters of hack/cluster.sh share on one machine: places, bridges, sysctls, cgroups. Sourced, never run.
# shellcheck shell=bash disable=SC2154  # dir and here are those of hack/cluster.sh

# The clusters of this machine: a lock for starting and stopping, a file for each place with the folder of its cluster,
# and the sysctls as they were before the first.
clusters=/run/berth-clusters

# What kubelet changes for the whole machine; put back at the end.
sysctls=(kernel.panic kernel.panic_on_oops vm.overcommit_memory vm.panic_on_oom kernel.keys.root_maxkeys
    kernel.keys.root_maxbytes net.ipv4.ip_forward)

# The place of a cluster: its number on this machine, and what is named after it

# use_place NUMBER
use_place() {
    place=$1
    network=198.18.$((77 + place))
    bridge=berth$place-nodes
    vlan=berth$place-pods
}

# find_place: that of the cluster in DIR; fails when there is none.
find_place() {
    local file
    for file in "$clusters"/[0-9]; do
        if [[ -f $file && $(<"$file") == "$dir" ]]; then use_place "${file##*/}" && return; fi
    done
    return 1
}

# cable NODE NUMBER: the name of its end on this machine.
cable() { echo "bth$place-${1##*-}-$2"; }

# lock_clusters: nothing starts or stops meanwhile. Ends with this script; daemons do not inherit it.
lock_clusters() {
    mkdir -p "$clusters"
    exec {lock}>"$clusters/lock"
    flock --nonblock "$lock" || say 'waiting for another cluster that starts or stops'
    flock "$lock"
}

# take_place: the first that no cluster has that runs.
take_place() {
    local number owner
    for ((number = 0; number < 10; number++)); do
        use_place "$number"
        if [[ -f $clusters/$place ]]; then
            owner=$(<"$clusters/$place")
            if (dir=$owner && runs); then continue; fi
            say "the cluster in $owner was killed: taking away what it left on this machine"
            (dir=$owner && stop)
        fi
        echo "$dir" >"$clusters/$place"
        return
    done
    die "ten clusters run already; to end one: hack/cluster.sh stop DIR, with a folder that $clusters/[0-9] name"
}

save_sysctls() {
    local name
    [[ ! -f $clusters/sysctls ]] || return 0
    for name in "${sysctls[@]}"; do printf '%s=%s\n' "$name" "$(sysctl -n "$name")"; done >"$clusters/sysctls"
}

restore_sysctls() {
    if [[ -f $clusters/sysctls ]]; then sysctl -q -w $(<"$clusters/sysctls") || true; fi
    rm -f "$clusters/sysctls"
}

make_bridges() {
    local name
    for name in "$bridge" "$vlan"; do
        ip link add "$name" type bridge
        # Frames between the nodes are not for the filter of this machine.
        { echo 0 >"/sys/class/net/$name/bridge/nf_call_iptables"; } 2>/dev/null || true
        ip link set "$name" up
    done
    ip addr add "$network.1/24" dev "$bridge"
}

# What containerd made for pods that are gone; the kernel keeps those that processes are in.
remove_cgroups() {
    find /sys/fs/cgroup -mindepth 1 -depth -type d -path '*/k8s.io/*' -exec rmdir {} + 2>/dev/null || true
    find /sys/fs/cgroup -mindepth 1 -depth -type d -name k8s.io -exec rmdir {} + 2>/dev/null || true
}
