# Scenarios of hack/e2e.sh: the ledger loses what pods hold. Sourced, never run.
# shellcheck shell=bash disable=SC2034,SC2154,SC2317

ledger_scenarios=(allocation-deleted etcd-restored uninstall)

# An administrator deletes the allocation of a pod that runs: the agent of its node enters it again.
scenario_allocation_deleted() {
    local held address
    start_pods deleted 2
    await_pods deleted
    held=$(addresses deleted-1)
    address=$(head -n 1 <<<"$held")
    kubectl delete ipallocation "$address" >/dev/null
    await 60 'the allocation, entered again' test_addresses deleted-1 "$held"
    audit
    end_pods deleted
}

test_addresses() { [[ $(addresses "$1") == "$2" ]]; }

# etcd goes back to a time at which a pod existed and had no address yet.
scenario_etcd_restored() {
    local held
    start_pods restored 2
    await_pods restored
    cluster kill node-1 kubelet
    pod restored-3 node-1 | kubectl create -f - >/dev/null
    # A copy of what is at rest needs no tool, of which each release of etcd has others.
    "$here/control-plane.sh" stop "$dir/control-plane" >&2
    cp -a "$dir/control-plane/etcd" "$dir/etcd-then"
    "$here/control-plane.sh" start "$dir/control-plane" >&2
    cluster run node-1 kubelet
    await_pods restored
    held=$(addresses restored-3)
    # A pod of which the restored server knows nothing: its sandbox is ended by the kubelet.
    start_pods forgotten 2
    await_pods forgotten
    "$here/control-plane.sh" stop "$dir/control-plane" >&2
    rm -rf "$dir/control-plane/etcd"
    mv "$dir/etcd-then" "$dir/control-plane/etcd"
    "$here/control-plane.sh" start "$dir/control-plane" >&2
    # Whoever watched has seen a later version of the world. Kubernetes' own programs are restarted after a restore.
    cluster restart-controllers
    cluster kill node-1 kubelet && cluster run node-1 kubelet
    cluster kill node-2 kubelet && cluster run node-2 kubelet
    kubectl --namespace berth-system rollout restart deployment/berth-controller daemonset/berth-node >/dev/null
    await 120 'the nodes' nodes_are_ready
    await 120 'the allocation, entered again' test_addresses restored-3 "$held"
    audit 180
    end_pods restored
}

# Everything but the custom resources is removed. Pods run on; those that end are written down.
scenario_uninstall() {
    local held
    start_pods stay 4
    await_pods stay
    held=$(holders stay | sort)
    kubectl --namespace berth-system delete daemonset berth-node >/dev/null
    kubectl --namespace berth-system delete deployment berth-controller >/dev/null
    await 90 'the end of the agents' no_agent
    [[ $(holders stay | sort) == "$held" ]]
    ping_from stay-1 "$(addresses stay-2 | head -n 1)"
    kubectl delete pod stay-3 --wait=false >/dev/null
    await 60 'the end of stay-3' pods_are_gone stay-3
    apply "$dir/berth.yaml"
    kubectl --namespace berth-system rollout status --timeout=120s daemonset/berth-node >/dev/null
    await 90 'the release of stay-3' no_holder stay-3
    audit
    end_pods stay
}
