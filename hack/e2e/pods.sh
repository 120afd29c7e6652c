# Scenarios of hack/e2e.sh: pods come and go. Sourced, never run.
# shellcheck shell=bash disable=SC2034,SC2154,SC2317

pod_scenarios=(
    start-and-ping delete sandbox-killed forty-at-once same-name selection force-delete static-pod macvlan
)

# Pods of both nodes have addresses of both pools, are named in the ledger, and reach each other in both families.
scenario_start_and_ping() {
    local address
    start_pods first 4
    await_pods first
    [[ $(addresses first-1 | wc -l) == 2 ]]
    addresses first-1 | grep -q '^10\.19\.12[0-3]\.'
    addresses first-1 | grep -q '^fd00:120::1:'
    [[ $(kubectl get pod first-1 -o jsonpath='{.status.podIP}') == "$(addresses first-1 | head -n 1)" ]]
    for address in $(addresses first-2); do ping_from first-1 "$address"; done
    for address in $(addresses first-1); do ping_from first-2 "$address"; done
}

scenario_delete() {
    start_pods delete 2
    await_pods delete
    end_pods delete
}

# The process that holds the sandbox is killed: kubelet makes another sandbox for the same pod.
scenario_sandbox_killed() {
    local before
    start_pods killed 2
    await_pods killed
    before=$(addresses killed-1)
    in_node node-1 bash -c 'pkill -KILL -x pause'
    await 60 'another sandbox' sandbox_changed killed-1 "$before"
    audit
    await_pods killed
    end_pods killed
}

sandbox_changed() {
    local now
    now=$(addresses "$1")
    [[ -n $now && $now != "$2" ]]
}

scenario_forty_at_once() {
    start_pods many 40
    await_pods many 180
    [[ $(holders many | sort -u | wc -l) == 80 ]]
    audit
    end_pods many
}

# As a StatefulSet does it, with a pod on each node: the next pod of the name starts as soon as the last one is gone.
scenario_same_name() {
    local round uids='' held='' places
    kubectl create -f - >/dev/null <<'YAML'
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: same}
spec:
  serviceName: same
  replicas: 2
  selector: {matchLabels: {app: same}}
  template:
    metadata: {labels: {app: same}}
    spec:
      affinity:
        podAntiAffinity:
          requiredDuringSchedulingIgnoredDuringExecution:
          - {topologyKey: kubernetes.io/hostname, labelSelector: {matchLabels: {app: same}}}
      automountServiceAccountToken: false
      terminationGracePeriodSeconds: 0
      containers: [{name: main, image: 'localhost/busybox:1', imagePullPolicy: Never}]
YAML
    for round in 1 2 3; do
        same_round "round $round"
        kubectl delete pod same-0 same-1 --wait=false >/dev/null
    done
    same_round 'round 4'
    # They change places: same-0 comes first, finds its node cordoned, and takes the other; same-1 gets what is left.
    places=$(same_nodes)
    kubectl cordon "$(head -n 1 <<<"$places")" >/dev/null
    kubectl delete pod same-0 same-1 --wait=false >/dev/null
    await 90 'same-0 on the node of same-1' is_ready_on same-0 "$(tail -n 1 <<<"$places")"
    kubectl uncordon "$(head -n 1 <<<"$places")" >/dev/null
    same_round 'the exchange'
    [[ $(same_nodes) == "$(tac <<<"$places")" ]] || { echo "no exchange: $(same_nodes)" && return 1; }
    # What stays goes with the ordinal, and then with the set.
    kubectl scale statefulset same --replicas=1 >/dev/null
    await 60 'the end of same-1' none_kept same-1.
    [[ $(addresses same-0) == "$(head -n 2 <<<"$held")" ]]
    kubectl delete statefulset same --wait=false >/dev/null
    await 90 'the end of same' no_holder same
    await 60 'the end of what was kept' none_kept same-
}

# same_round NAME: two other pods are ready, on two nodes, with the addresses of the first round.
same_round() {
    await 90 "$1" same_is_ready "$uids"
    uids=$(same_uids)
    [[ -n $held ]] || held=$(same_addresses)
    [[ $(same_addresses) == "$held" ]] || { echo "other addresses in $1: $(same_addresses)" && return 1; }
    [[ $(same_nodes | sort -u | wc -l) == 2 ]] || { echo "one node for both in $1: $(same_nodes)" && return 1; }
    audit
}

same_addresses() { addresses same-0 && addresses same-1; }

# same_nodes: that of same-0 and that of same-1.
same_nodes() { kubectl get pods same-0 same-1 -o jsonpath='{range .items[*]}{.spec.nodeName}{"\n"}{end}'; }

# is_ready_on POD NODE
is_ready_on() {
    [[ $(kubectl get pod "$1" -o jsonpath='{.spec.nodeName} {.status.conditions[?(@.type=="Ready")].status}') == "$2 True" ]]
}

# none_kept PREFIX: nothing is kept for claims whose names begin so.
none_kept() {
    ! kubectl get ipallocations -o jsonpath='{range .items[?(@.spec.claim)]}{.spec.state} {.spec.claim.name}{"\n"}{end}' |
        grep -qE "^(Bound|Held) $1"
}

same_uids() { kubectl get pods -l app=same -o jsonpath='{.items[*].metadata.uid}'; }

# same_is_ready UIDS: two ready pods that are not those.
same_is_ready() {
    local uids
    uids=$(same_uids)
    [[ $uids == *' '* && -z $(comm -12 <(tr ' ' '\n' <<<"$uids" | sort) <(tr ' ' '\n' <<<"$1" | sort) | grep .) ]] &&
        [[ $(kubectl get statefulset same -o jsonpath='{.status.readyReplicas}') == 2 ]]
}

# Annotations choose the pool and the address, and a reservation keeps what is left of a pool from everybody.
scenario_selection() {
    apply "$root/config/samples/pod-choice.yaml"
    apply - <<'YAML'
apiVersion: ipam.berth.dev/v1alpha1
kind: IPReservation
metadata: {name: choice}
spec: {pools: [choice-a], ranges: [10.50.0.2-10.50.0.254], reason: end to end}
YAML
    await 60 'the reservation' kubectl wait --for=condition=Enforced --timeout=1s ipreservation/choice
    chosen chosen-1 '"choice-*"' | kubectl create -f - >/dev/null
    await_pods chosen
    [[ $(addresses chosen-1) == 10.50.0.1 ]]
    # The first pool has nothing left for it.
    chosen chosen-2 '"choice-*"' | kubectl create -f - >/dev/null
    chosen chosen-3 'choice-b, ipam.berth.dev/addresses.eth0: 10.51.0.77' | kubectl create -f - >/dev/null
    await_pods chosen
    [[ $(addresses chosen-2) == 10.51.0.* && $(addresses chosen-3) == 10.51.0.77 ]]
    ping_from chosen-2 10.51.0.77
    # One that may not be picked.
    chosen chosen-4 blue-v4x | kubectl create -f - >/dev/null
    await 60 'the refusal' refused chosen-4 'ipam.berth.dev/pools'
    kubectl delete pod chosen-4 --force >/dev/null 2>&1
    audit
    end_pods chosen
    kubectl delete ipreservation choice >/dev/null
    kubectl delete --wait=false -f "$root/config/samples/pod-choice.yaml" >/dev/null
}

# chosen NAME POOLS: a pod that names pools.
chosen() {
    pod "$1" node-1 | sed "s|^metadata: {|&annotations: {ipam.berth.dev/pools: $2}, |"
}

# refused POD TEXT: an Event of the pod says so.
refused() {
    kubectl get events --field-selector "involvedObject.name=$1" -o jsonpath='{range .items[*]}{.message}{"\n"}{end}' |
        grep -q "$2"
}

# The API forgets the pod at once, while its sandbox still runs.
scenario_force_delete() {
    start_pods force 4
    await_pods force
    kubectl delete pod --force --grace-period=0 --wait=false $(pods_of force) >/dev/null 2>&1
    await 90 'the release' no_holder force
}

# Its mirror in the API has another UID, and may be missing while it runs.
scenario_static_pod() {
    pod static '' | sed '/^---/d; /^  $/d' | in_node node-1 bash -c 'cat >/etc/kubernetes/manifests/static.yaml'
    await 90 'the static pod' kubectl wait --for=condition=Ready --timeout=1s pod/static-node-1
    [[ $(kubectl get ipallocations -o jsonpath='{.items[?(@.spec.pod.name=="static-node-1")].spec.origin}') == 'Static Static' ]]
    # The kubelet makes the mirror anew. The address must not go with it.
    kubectl delete pod static-node-1 --force --grace-period=0 >/dev/null 2>&1
    await 60 'the mirror' kubectl get pod static-node-1
    audit
    [[ -n $(addresses static-node-1) ]]
    in_node node-1 rm /etc/kubernetes/manifests/static.yaml
    await 90 'the end of the static pod' no_holder static
}

# macvlan asks for the release before it removes the link.
scenario_macvlan() {
    local node
    for node in "${nodes[@]}"; do use_network "$node" macvlan '"master": "eth2", "mode": "bridge"'; done
    start_pods macvlan 4
    await_pods macvlan
    for node in "${nodes[@]}"; do
        [[ $(in_node "$node" bash -c 'for n in /run/netns/cni-*; do nsenter --net=$n ip -d link show eth0; done' |
            grep -c 'macvlan *mode bridge') == 2 ]]
    done
    ping_from macvlan-1 "$(addresses macvlan-2 | head -n 1)"
    audit
    end_pods macvlan
    for node in "${nodes[@]}"; do use_bridge "$node"; done
}
