# What the scenarios of hack/e2e.sh share. Sourced, never run.
# shellcheck shell=bash disable=SC2154  # dir, here and root are those of hack/e2e.sh

nodes=(node-1 node-2)

cluster() { local command=$1 && shift && "$here/cluster.sh" "$command" "$dir" "$@"; }

# in_node NODE COMMAND...
in_node() { cluster exec "$@"; }

# await SECONDS WHAT COMMAND...: until the command succeeds; fails after so many seconds.
await() {
    local limit=$1 what=$2 since=$SECONDS
    shift 2
    until "$@" >/dev/null 2>&1; do
        if ((SECONDS - since >= limit)); then
            echo "$what: not within $limit seconds"
            return 1
        fi
        sleep 0.3
    done
}

# background COMMAND...: runs it beside the scenario; ended with it.
background() {
    "$@" &
    echo "$!" >>"$dir/background"
}

end_background() {
    local pid
    [[ -f $dir/background ]] || return 0
    while read -r pid; do
        # First the function itself, so that it starts nothing more.
        kill "$pid" 2>/dev/null || true
        pkill -P "$pid" 2>/dev/null || true
    done <"$dir/background"
    rm -f "$dir/background"
}

# note TEXT: something measured, for the line that the scenario prints.
note() { printf '; %s' "$1" >>"$dir/notes"; }

# Berth itself

# render [OPTION...]: what `helm template` would print, for this cluster.
render() {
    "$here/render.sh" "$root/charts/berth" --cluster "$KUBECONFIG" --set images.registry=berth.dev \
        --set "kubernetesServiceHost=$NODE_ADDRESS" --set-string "kubernetesServicePort=$APISERVER_PORT" \
        --set controller.gracePeriod=4s --set node.gracePeriod=4s --set node.interval=2s "$@"
}

# Servers before 1.31 do not know all of the custom resources' schema; kubectl would not send it to them.
apply() { kubectl apply --validate=false -f "$@" >/dev/null; }

install_berth() {
    local node pools
    cluster import "$root"/dist/images/berth-{controller,node}-*.tar
    kubectl create namespace berth-system >/dev/null
    render >"$dir/berth.yaml"
    apply "$dir/berth.yaml"
    for node in "${nodes[@]}"; do use_bridge "$node"; done
    await 120 'the controller' kubectl --namespace berth-system rollout status --timeout=1s deployment/berth-controller
    await 120 'the node agents' kubectl --namespace berth-system rollout status --timeout=1s daemonset/berth-node
    await 60 'the nodes' nodes_are_ready
    await 30 'the pools' kubectl apply -f "$root/config/samples/dual-stack.yaml"
    say "Berth is installed: $(kubectl --namespace berth-system get pods -o name | wc -l) pods"
}

nodes_are_ready() {
    [[ $(kubectl get nodes -o jsonpath='{range .items[*]}{.status.conditions[?(@.type=="Ready")].status} {end}') == 'True True ' ]]
}

# use_network NODE TYPE MEMBERS: what kubelet's pods are attached to from now on.
use_network() {
    in_node "$1" bash -c 'mkdir -p /etc/cni/net.d; cat >/etc/cni/net.d/10-blue.conflist' <<JSON
{"cniVersion": "0.4.0", "name": "blue", "plugins": [
  {"type": "$2", $3, "ipam": {"type": "berth", "pools": ["blue-v4", "blue-v6"]}}
]}
JSON
}

use_bridge() { use_network "$1" bridge '"bridge": "berth0"'; }

# Pods

# pod NAME NODE [OWN]: the manifest of a pod that sleeps; on any node where NODE is empty. OWN is more of its spec.
pod() {
    cat <<YAML
---
apiVersion: v1
kind: Pod
metadata: {name: $1, namespace: default, labels: {e2e: pod}}
spec:
  ${2:+nodeName: $2}
  ${3:-}
  automountServiceAccountToken: false
  enableServiceLinks: false
  terminationGracePeriodSeconds: 0
  tolerations: [{operator: Exists}]
  containers: [{name: main, image: 'localhost/busybox:1', imagePullPolicy: Never}]
YAML
}

# start_pods PREFIX COUNT: PREFIX-1 and so on, on the nodes in turn.
start_pods() {
    local number
    for ((number = 1; number <= $2; number++)); do
        pod "$1-$number" "node-$(((number - 1) % 2 + 1))"
    done | kubectl create -f - >/dev/null
}

# pods_of PREFIX: their names.
pods_of() { kubectl get pods -o name | sed -n "s|^pod/\($1-[0-9]*\)\$|\1|p"; }

# await_pods PREFIX [SECONDS]: until all are ready.
await_pods() {
    local names
    mapfile -t names < <(pods_of "$1" | sed 's|^|pod/|')
    kubectl wait --for=condition=Ready --timeout="${2:-90}s" "${names[@]}" >/dev/null
}

# end_pods PREFIX: deletes them; returns when no sandbox of them is left.
end_pods() {
    local names
    mapfile -t names < <(pods_of "$1")
    kubectl delete pod --wait=false "${names[@]}" >/dev/null
    await 90 "the end of $1" no_holder "$1"
}

# holders PREFIX: the addresses that pods of that prefix hold.
holders() {
    kubectl get ipallocations -o jsonpath='{range .items[?(@.spec.attachment)]}{.spec.pod.name} {.spec.address}{"\n"}{end}' |
        awk -v prefix="$1" 'index($1, prefix) == 1 { print $2 }'
}

no_holder() { [[ -z $(holders "$1") ]]; }

# addresses POD: those that the ledger gives to it.
addresses() {
    kubectl get ipallocations -o jsonpath='{range .items[?(@.spec.attachment)]}{.spec.pod.name} {.spec.address}{"\n"}{end}' |
        awk -v pod="$1" '$1 == pod { print $2 }' | sort
}

# phase POD
phase() { kubectl get pod "$1" -o jsonpath='{.status.phase}' 2>/dev/null; }

# ping POD ADDRESS: from within the pod.
ping_from() { kubectl exec "$1" -- ping -c 1 -W 5 "$2"; }

# events REASON [KIND]: how many of that reason there are.
events() {
    kubectl get events --all-namespaces --field-selector "reason=$1${2:+,involvedObject.kind=$2}" -o name | wc -l
}

# The audit

# configured: `NODE ADDRESS` for each address in a network namespace of a pod.
configured() {
    local node
    for node in "${nodes[@]}"; do
        in_node "$node" bash -c '
            for namespace in /run/netns/cni-*; do
                [[ -e $namespace ]] || continue
                nsenter --net="$namespace" ip -o addr show scope global 2>/dev/null | sed "s|^.* inet6\? \([^/ ]*\).*|$0 \1|"
            done' "$node"
    done | sort
}

# entered: the same for what the ledger says to be in use.
entered() {
    kubectl get ipallocations -o jsonpath='{range .items[?(@.spec.attachment)]}{.spec.node} {.spec.address}{"\n"}{end}' | sort
}

# audit [SECONDS]: until the ledger and the sandboxes are equal. An address in two sandboxes fails at once.
audit() {
    local limit=${1:-90} since=$SECONDS lost leaked twice
    while :; do
        # The ledger is read on both sides of the look at the sandboxes, which takes a while.
        entered >"$dir/entered.before"
        configured >"$dir/configured"
        entered >"$dir/entered"
        twice=$(cut -d' ' -f2 "$dir/configured" | uniq_twice)
        if [[ -n $twice ]]; then
            echo "DUPLICATE: ${twice//$'\n'/ } in two sandboxes"
            cat "$dir/configured"
            return 1
        fi
        lost=$(comm -23 "$dir/configured" "$dir/entered")
        leaked=$(comm -13 "$dir/configured" "$dir/entered")
        if [[ -z $lost && -z $leaked ]] && cmp -s "$dir/entered.before" "$dir/entered"; then break; fi
        if ((SECONDS - since >= limit)); then
            echo "after $limit s: lost: ${lost//$'\n'/, }; leaked: ${leaked//$'\n'/, }"
            return 1
        fi
        sleep 1
    done
    echo "audit: $(wc -l <"$dir/configured") addresses in sandboxes, the same in the ledger; 0 twice, 0 lost, 0 leaked$(<"$dir/notes")"
}

uniq_twice() { sort | uniq -d; }

# What one wants to see when a scenario failed.
report_state() {
    kubectl get pods --all-namespaces -o wide
    kubectl get ipallocations -o wide
    kubectl get events --all-namespaces | tail -n 25
}
