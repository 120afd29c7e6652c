#!/usr/bin/env bash
# A Kubernetes cluster of real kubelets on this machine, without a container engine: a control plane, and nodes that are
# sets of namespaces (mount, PID, network, UTS) with a containerd and a kubelet each.
#
# Usage: hack/cluster.sh COMMAND DIR [ARGUMENT...]
#
#   start DIR [COUNT]          control plane, controller manager, scheduler, and COUNT nodes (2): node-1, node-2, …
#   stop DIR                   ends everything; the logs stay in DIR
#   exec DIR NODE COMMAND...   runs a command in the namespaces of a node
#   kill DIR NODE PROGRAM      SIGKILL of the node's containerd or kubelet
#   run DIR NODE PROGRAM       starts it again
#   power-off DIR NODE         ends every process of the node at once
#   power-on DIR NODE          starts it again: what /run held is gone, disks and machine ID are as before, the boot ID
#                              is another
#   cut DIR NODE, mend DIR NODE  takes the node's cable to the control plane away, and gives it back
#   import DIR ARCHIVE...      imports images into the containerd of each node
#   restart-controllers DIR    the controller manager and the scheduler
#
# What DIR holds afterwards: control-plane/ (hack/control-plane.sh), env (KUBECONFIG, NODE_ADDRESS, APISERVER_PORT, and
# the Kubernetes that was chosen: KUBEBUILDER_ASSETS and PATH), nodes/NODE/ with its file system and the logs
# containerd.log and kubelet.log.
#
# Up to ten clusters run side by side. Nodes reach the API server of the first at 198.18.77.1, of the second at
# 198.18.78.1, and so on, on a bridge of this machine; their pods share a second bridge, as if it were a VLAN. A node has
# a bridge `berth0` on that VLAN and an interface `eth2` for macvlan. The main plugins bridge, macvlan, ptp and loopback
# are installed, Berth is not. What a cluster left on the machine that was killed, the next start takes away.
#
# Needs root, overlayfs, and Debian's containerd, runc, umoci and busybox-static (hack/setup.sh).
#
# Environment: KUBEBUILDER_ASSETS as in hack/control-plane.sh, if the folder holds kubelet, kube-controller-manager and
# kube-scheduler too. Otherwise all are those that hack/kubernetes.sh builds, and nothing is taken from the folder.

set -euo pipefail
here=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")" && pwd -P)
# shellcheck source=hack/lib.sh
. "$here/lib.sh"
# shellcheck source=hack/cluster/machine.sh
. "$here/cluster/machine.sh"

kubectl() { "$kubectl" --kubeconfig "$dir/control-plane/admin.kubeconfig" "$@"; }

# await SECONDS WHAT COMMAND...: until the command succeeds.
await() {
    local limit=$1 what=$2 since=$SECONDS
    shift 2
    until "$@" >/dev/null 2>&1; do
        ((SECONDS - since < limit)) || die "$what: not within $limit seconds"
        sleep 0.2
    done
}

find_programs() {
    need containerd runc ctr umoci busybox unshare nsenter flock ip openssl gcc
    if [[ -n ${KUBEBUILDER_ASSETS:-} && ! -x $KUBEBUILDER_ASSETS/kubelet ]]; then
        say "there is no kubelet in $KUBEBUILDER_ASSETS: taking all of Kubernetes from Debian's source"
        PATH=${PATH#"$KUBEBUILDER_ASSETS":}
        unset KUBEBUILDER_ASSETS
    fi
    if [[ -n ${KUBEBUILDER_ASSETS:-} ]]; then assets=$KUBEBUILDER_ASSETS; else assets=$("$here/kubernetes.sh"); fi
    kubectl=$(type -P kubectl) || die 'kubectl is not on PATH; hack/setup.sh installs it'
    local program
    for program in kubelet kube-controller-manager kube-scheduler; do
        [[ -x $assets/$program ]] || die "there is no $program in $assets"
    done
}

# The minor version of the kubelet; 0 when it does not say.
kubelet_minor() {
    local minor
    minor=$("$assets/kubelet" --version | sed -n 's/^Kubernetes v1\.\([0-9]*\)\..*/\1/p')
    echo "${minor:-0}"
}

# Says what a newer kubelet misses on this machine. Whoever knows better goes on.
check_machine() {
    local kubelet containerd
    kubelet=$(kubelet_minor)
    containerd=$(containerd --version | awk '{ sub("^v", "", $3); print $3 }')
    if ((kubelet >= 35)) && [[ $(stat --file-system --format=%T /sys/fs/cgroup) != cgroup2fs ]]; then
        say "warning: this machine has cgroup v1, which kubelet supports no more, and this is 1.$kubelet: should it end," \
            'boot with systemd.unified_cgroup_hierarchy=1'
    fi
    if ((kubelet >= 36)) && [[ $containerd == [01].* ]]; then
        say "warning: this is containerd $containerd; Kubernetes 1.35 was the last that was released for containerd 1"
    fi
}

# What a shell sources that uses the cluster: also which Kubernetes it runs, so that nothing starts another later on.
write_env() {
    printf 'export %s=%q\n' KUBECONFIG "$dir/control-plane/admin.kubeconfig" NODE_ADDRESS "$network.1" \
        APISERVER_PORT "$APISERVER_PORT"
    # shellcheck disable=SC2016  # for that shell
    if [[ -n ${KUBEBUILDER_ASSETS:-} ]]; then
        printf 'export %s=%q\n' KUBEBUILDER_ASSETS "$KUBEBUILDER_ASSETS"
        printf '%s\n' 'PATH=$KUBEBUILDER_ASSETS:${PATH#"$KUBEBUILDER_ASSETS":}'
    else
        printf '%s\n' 'PATH=${PATH#"${KUBEBUILDER_ASSETS:-}":}' 'unset KUBEBUILDER_ASSETS'
    fi
}

# runs: whether anything of the cluster does.
runs() {
    local node
    # Its nodes' cables tell also when its folder is gone.
    if [[ -n $(ip -brief link show master "$bridge" 2>/dev/null) ]]; then return 0; fi
    for node in $(node_names); do
        if [[ -n $(init_of "$node") ]]; then return 0; fi
    done
    daemon_runs kube-scheduler || daemon_runs kube-controller-manager ||
        "$here/control-plane.sh" status "$dir/control-plane" >/dev/null 2>&1
}

# Processes of the machine

# daemon NAME COMMAND...: starts it, its log and process ID in DIR.
daemon() {
    local name=$1
    shift
    spawn "$dir/$name.log" "$@"
    echo "$spawned" >"$dir/$name.pid"
}

daemon_runs() { [[ -f $dir/$1.pid ]] && process_is "$(<"$dir/$1.pid")" "$dir"; }

end_daemon() {
    local name=$1
    if [[ -f $dir/$name.pid ]]; then end_process "$(<"$dir/$name.pid")" "$dir"; fi
    rm -f "$dir/$name.pid"
}

start_controllers() {
    local config=$dir/control-plane/admin.kubeconfig
    # Nodes are taken for lost sooner than by default (40 s), so that tests need not wait for it.
    daemon kube-controller-manager "$assets/kube-controller-manager" "--kubeconfig=$config" --leader-elect=false \
        "--service-account-private-key-file=$dir/control-plane/pki/service-account.key" \
        "--root-ca-file=$dir/control-plane/pki/ca.crt" --allocate-node-cidrs=false --node-monitor-grace-period=16s \
        --bind-address=127.0.0.1 --secure-port=0 $(has_flag kube-controller-manager --port --port=0)
    daemon kube-scheduler "$assets/kube-scheduler" "--kubeconfig=$config" --leader-elect=false \
        --bind-address=127.0.0.1 --secure-port=0 $(has_flag kube-scheduler --port --port=0)
}

restart_controllers() {
    end_daemon kube-scheduler
    end_daemon kube-controller-manager
    start_controllers
}

# has_flag PROGRAM FLAG TEXT...: prints the text where the program's help has the flag.
has_flag() {
    local program=$1 flag=$2 help
    shift 2
    help=$("$assets/$program" --help 2>&1)
    if [[ $help == *" $flag "* ]]; then printf '%s\n' "$@"; fi
}

# Images that pods need before any other

make_images() {
    local images=$dir/images applet
    [[ ! -f $images/complete ]] || return 0
    rm -rf "$images"
    mkdir -p "$images/pause" "$images/busybox/bin"
    # The parent of a pod's processes: waits, reaps, ends when told to.
    gcc -static -O2 -x c -o "$images/pause/pause" - <<'C'
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>
static void end(int signal) { (void)signal; _exit(0); }
static void reap(int signal) { (void)signal; while (waitpid(-1, 0, WNOHANG) > 0) continue; }
int main(void) {
    signal(SIGTERM, end);
    signal(SIGINT, end);
    signal(SIGCHLD, reap);
    for (;;) pause();
}
C
    cp "$(type -P busybox)" "$images/busybox/bin/busybox"
    for applet in sh sleep ping ping6 ip cat ls nc wget; do ln -s busybox "$images/busybox/bin/$applet"; done
    make_image pause "$images/pause" /pause
    make_image busybox "$images/busybox" /bin/sleep infinity
    touch "$images/complete"
}

# make_image NAME FOLDER COMMAND...: localhost/NAME:1 from a folder, as an archive.
make_image() {
    local name=$1 folder=$2 layout=$dir/images/$1.oci
    shift 2
    umoci init --layout "$layout"
    umoci new --image "$layout:1"
    umoci insert --image "$layout:1" "$folder" /
    umoci config --image "$layout:1" --config.entrypoint "$1" ${2:+--config.cmd "$2"}
    sed -i "s|\"org.opencontainers.image.ref.name\":\"1\"|&,\"io.containerd.image.name\":\"localhost/$name:1\"|" \
        "$layout/index.json"
    tar -C "$layout" -cf "$dir/images/$name.tar" oci-layout index.json blobs
}

# import_into NODE ARCHIVE...
import_into() {
    local node=$1 archive
    shift
    for archive; do
        in_node "$node" ctr --namespace k8s.io images import - <"$archive" >/dev/null
    done
}

# Nodes

node_names() { ls "$dir/nodes" 2>/dev/null || true; }

# init_of NODE: the process that is the node's process 1; empty when the node is off.
init_of() {
    local pid=
    if [[ -f $dir/nodes/$1/init.pid ]]; then pid=$(<"$dir/nodes/$1/init.pid"); fi
    if process_is "$pid" "$dir/nodes/$1"; then printf '%s' "$pid"; fi
}

in_node() {
    local node=$1 init
    shift
    init=$(init_of "$node")
    [[ -n $init ]] || die "$node is off"
    nsenter --target "$init" --mount --pid --net --uts -- "$@"
}

make_node() {
    local node=$1 folder=$dir/nodes/$1 plugin source
    mkdir -p "$folder"/{etc/cni/net.d,etc.work,opt/cni/bin,var/lib/kubelet,var/lib/containerd,var/lib/cni,var/log}
    [[ -s $folder/etc/machine-id ]] || openssl rand -hex 16 >"$folder/etc/machine-id"
    for plugin in bridge macvlan ptp loopback; do
        for source in /opt/cni/bin /usr/lib/cni; do
            if [[ -x $source/$plugin ]]; then cp "$source/$plugin" "$folder/opt/cni/bin/"; fi
        done
        [[ -x $folder/opt/cni/bin/$plugin ]] || die "there is no CNI plugin $plugin; hack/setup.sh installs it"
    done
    mkdir -p "$folder/etc/containerd" "$folder/etc/kubernetes"
    cat >"$folder/etc/containerd/config.toml" <<'TOML'
version = 2
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "localhost/pause:1"
disable_apparmor = true
restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "/opt/cni/bin"
conf_dir = "/etc/cni/net.d"
max_conf_num = 1
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
SystemdCgroup = false
TOML
    cat >"$folder/etc/kubernetes/kubelet.yaml" <<YAML
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
authentication: {anonymous: {enabled: true}, webhook: {enabled: false}}
authorization: {mode: AlwaysAllow}
cgroupDriver: cgroupfs
cgroupsPerQOS: false
enforceNodeAllocatable: []
failSwapOn: false
evictionHard: {memory.available: "0%", nodefs.available: "0%", nodefs.inodesFree: "0%", imagefs.available: "0%"}
imageGCHighThresholdPercent: 100
makeIPTablesUtilChains: false
hairpinMode: none
protectKernelDefaults: false
resolvConf: ""
clusterDNS: [$network.53]
maxPods: 250
syncFrequency: 10s
registryPullQPS: 0
nodeStatusUpdateFrequency: 4s
staticPodPath: /etc/kubernetes/manifests
YAML
    # From 1.31 on, and from 1.35 on kubelet ends at cgroup v1 without it.
    if (($(kubelet_minor) >= 31)); then
        echo 'failCgroupV1: false' >>"$folder/etc/kubernetes/kubelet.yaml"
    fi
    mkdir -p "$folder/etc/kubernetes/manifests"
    sed "s|server: .*|server: https://$network.1:$APISERVER_PORT|" "$dir/control-plane/admin.kubeconfig" \
        >"$folder/etc/kubernetes/kubelet.kubeconfig"
}

# plug NODE: its three cables. They end with the node.
plug() {
    local node=$1 number master=$bridge init
    init=$(init_of "$node")
    for number in 0 1 2; do
        ip link add "$(cable "$node" "$number")" type veth peer name "eth$number" netns "$init"
        ip link set "$(cable "$node" "$number")" master "$master"
        ip link set "$(cable "$node" "$number")" up
        master=$vlan
    done
}

power_on() {
    local node=$1 folder=$dir/nodes/$1
    [[ -z $(init_of "$node") ]] || die "$node is on"
    cat /proc/sys/kernel/random/uuid >"$folder/boot-id"
    rm -f "$folder/booted"
    # unshare forks; the child, whose parent's ID is in $spawned, is process 1 of the node.
    spawn "$folder/init.log" unshare --mount --pid --fork --kill-child --net --uts -- \
        "$here/cluster/node-init.sh" "$folder" "$node" "$network.1${node##*-}/24"
    local parent=$spawned child=
    # With it ends the node, also when this script is interrupted before it knows the node's process 1.
    echo "$parent" >"$folder/unshare.pid"
    local since=$SECONDS
    until child=$(cat "/proc/$parent/task/$parent/children" 2>/dev/null) && [[ -n $child ]]; do
        ((SECONDS - since < 10)) || die "$node did not start; see $folder/init.log"
        sleep 0.05
    done
    echo "${child%% *}" >"$folder/init.pid"
    await 10 "$node: process 1" process_is "${child%% *}" "$folder"
    plug "$node"
    await 10 "$node: boot" test -e "$folder/booted"
    start_in "$node" containerd
    await 20 "$node: containerd" in_node "$node" ctr version
    if [[ -z $(in_node "$node" ctr --namespace k8s.io images list -q) ]]; then
        import_into "$node" "$dir/images/pause.tar" "$dir/images/busybox.tar"
    fi
    start_in "$node" kubelet
}

# start_in NODE PROGRAM: containerd or kubelet.
start_in() {
    local node=$1 program=$2 command
    case $program in
        containerd) command=(containerd) ;;
        kubelet)
            command=(
                "$assets/kubelet" --config=/etc/kubernetes/kubelet.yaml --kubeconfig=/etc/kubernetes/kubelet.kubeconfig
                --container-runtime-endpoint=unix:///run/containerd/containerd.sock "--hostname-override=$node"
                "--node-ip=$network.1${node##*-}" $(has_flag kubelet --container-runtime --container-runtime=remote)
            )
            ;;
        *) die "a node has no program $program" ;;
    esac
    spawn "$dir/nodes/$node/$program.log" nsenter --target "$(init_of "$node")" --mount --pid --net --uts -- \
        bash -c 'echo $$ >"/run/$0.pid"; exec "$@"' "$program" "${command[@]}"
}

# kill_in NODE PROGRAM: as if it crashed.
kill_in() {
    in_node "$1" bash -c '
        pid=$(<"/run/$0.pid") && kill -KILL "$pid"
        while kill -0 "$pid" 2>/dev/null; do sleep 0.05; done
        rm "/run/$0.pid"' "$2"
}

power_off() {
    local init
    init=$(init_of "$1")
    if [[ -n $init ]]; then
        # The kernel ends every process of the PID namespace with its process 1.
        kill -KILL "$init"
        while process_is "$init" ''; do sleep 0.05; done
    fi
    if [[ -f $dir/nodes/$1/unshare.pid ]]; then end_process "$(<"$dir/nodes/$1/unshare.pid")" "$dir/nodes/$1"; fi
    rm -f "$dir/nodes/$1"/{init,unshare}.pid
    remove_cables "$1"
}

# They go with the node's network namespace, but not at once.
remove_cables() {
    local number
    for number in 0 1 2; do
        ip link delete "$(cable "$1" "$number")" 2>/dev/null || true
    done
}

start() {
    local count=${1:-2} number since=$SECONDS
    [[ $count =~ ^[1-9]$ ]] || die "the number of nodes is 1 to 9, not $count"
    find_programs
    check_machine
    lock_clusters
    if find_place; then
        if runs; then die "a cluster runs in $dir already"; fi
        # What is left of one that was killed; the place may be another one now.
        stop
    fi
    take_place
    trap abandon EXIT
    save_sysctls
    make_bridges
    mkdir -p "$dir/control-plane"
    BERTH_NODE_ADDRESS=$network.1 "$here/control-plane.sh" start "$dir/control-plane"
    # shellcheck source=/dev/null
    . "$dir/control-plane/env"
    APISERVER_PORT=${APISERVER_URL##*:}
    write_env >"$dir/env"
    start_controllers
    make_images
    for ((number = 1; number <= count; number++)); do
        make_node "node-$number"
        power_on "node-$number"
    done
    for ((number = 1; number <= count; number++)); do
        await 60 "registration of node-$number" kubectl get node "node-$number"
    done
    await 60 'the service account default' kubectl get serviceaccount default
    trap - EXIT
    say "$count nodes are up after $((SECONDS - since)) seconds; they are Ready once there is a network configuration"
}

abandon() {
    local code=$?
    trap - EXIT
    stop
    exit "$code"
}

stop() {
    local node
    for node in $(node_names); do power_off "$node"; done
    end_daemon kube-scheduler
    end_daemon kube-controller-manager
    if [[ -d $dir/control-plane ]]; then "$here/control-plane.sh" stop "$dir/control-plane"; fi
    ip link delete "$bridge" 2>/dev/null || true
    ip link delete "$vlan" 2>/dev/null || true
    rm -f "$dir/env" "$clusters/$place"
    # The last one puts back what all of them share.
    if ! compgen -G "$clusters/[0-9]" >/dev/null; then
        remove_cgroups
        restore_sysctls
    fi
}

if [[ ${1:-} == --help || ${1:-} == -h ]]; then usage && exit; fi
if (($# < 2)) || [[ -z $2 ]]; then usage >&2 && exit 2; fi
command=$1
[[ $command != start ]] || (umask 077 && mkdir -p -- "$2")
[[ -d $2 ]] || die "there is no folder $2"
dir=$(cd -- "$2" && pwd -P)
shift 2
((EUID == 0)) || die 'namespaces and mounts need root'
exit_on_signals
if [[ $command != start && -f $dir/env ]]; then . "$dir/env"; fi
if [[ $command != start && $command != stop ]]; then find_place || die "no cluster runs in $dir"; fi

case $command in
    start) start "$@" ;;
    stop)
        lock_clusters
        # Once more is no error.
        if find_place; then stop; fi
        ;;
    exec) in_node "$@" ;;
    kill) kill_in "$@" ;;
    run) find_programs && start_in "$@" ;;
    power-off) power_off "$@" ;;
    power-on) find_programs && power_on "$@" ;;
    restart-controllers) find_programs && restart_controllers ;;
    cut) ip link set "$(cable "$1" 0)" down ;;
    mend) ip link set "$(cable "$1" 0)" up ;;
    import) for node in $(node_names); do import_into "$node" "$@"; done ;;
    *) die "unknown command $command; see --help" ;;
esac
