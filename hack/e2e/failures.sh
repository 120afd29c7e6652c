# Scenarios of hack/e2e.sh: programs and machines fail. Sourced, never run.
# shellcheck shell=bash disable=SC2034,SC2154,SC2317

failure_scenarios=(
    runtime-restarts node-reboot apiserver-restart berth-killed partition agent-update expired-token key-rotation
)

# churn PREFIX FILE: creates pods and deletes them, one after the other on the nodes in turn, until it is ended. Counts
# in FILE those that had an address.
churn() {
    local number=0 node
    while :; do
        number=$((number + 1))
        node=node-$((number % 2 + 1))
        pod "$1-$number" "$node" | kubectl create -f - >/dev/null 2>&1 || continue
        kubectl wait --for=condition=Ready --timeout=60s "pod/$1-$number" >/dev/null 2>&1 && echo "$1-$number" >>"$2"
        kubectl delete pod "$1-$number" --wait=false >/dev/null 2>&1 || true
    done
}

# await_more FILE COUNT: until churn wrote so many lines more.
await_more() {
    local file=$1 count
    touch "$file"
    count=$(($(wc -l <"$file") + $2))
    await 120 "$2 more pods of the churn" has_lines "$file" "$count"
}

has_lines() { (($(wc -l <"$1") >= $2)); }

end_churn() {
    end_background
    await 90 "the end of $1" churn_is_over "$1"
}

# A pod whose creation was under way when the churn was ended may show up later.
churn_is_over() {
    local left
    mapfile -t left < <(pods_of "$1")
    if ((${#left[@]} > 0)); then kubectl delete pod --wait=false "${left[@]}" || true; fi
    ((${#left[@]} == 0)) && no_holder "$1"
}

# kubelet and containerd are killed and started again, alone and together. Pods keep their addresses.
scenario_runtime_restarts() {
    local before
    start_pods runtime 4
    await_pods runtime
    before=$(holders runtime | sort)
    cluster kill node-1 kubelet
    cluster run node-1 kubelet
    cluster kill node-1 containerd
    cluster run node-1 containerd
    await 60 'containerd' in_node node-1 ctr version
    cluster kill node-1 kubelet
    cluster kill node-1 containerd
    # What is deleted while nobody is there to see it.
    kubectl delete pod runtime-3 --wait=false >/dev/null
    cluster run node-1 containerd
    await 60 'containerd' in_node node-1 ctr version
    cluster run node-1 kubelet
    await 90 'the release of runtime-3' no_holder runtime-3
    [[ $(comm -13 <(echo "$before") <(holders runtime | sort) | wc -l) == 0 ]]
    audit
    end_pods runtime
}

# The power fails: no DEL, and another boot ID. kubelet makes new sandboxes; those of before are dead.
scenario_node_reboot() {
    start_pods reboot 6
    await_pods reboot
    cluster power-off node-2
    # One of its pods is deleted while it is off.
    kubectl delete pod reboot-2 --wait=false >/dev/null
    cluster power-on node-2
    await 90 'the nodes' nodes_are_ready
    local since=$SECONDS
    await 120 'sandboxes after the boot' reboot_is_over
    note "the addresses of before free or replaced $((SECONDS - since)) s after the node was Ready"
    audit
    end_pods reboot
}

reboot_is_over() {
    no_holder reboot-2 && [[ $(addresses reboot-4 | wc -l) == 2 && $(addresses reboot-6 | wc -l) == 2 ]] &&
        [[ $(kubectl get pod reboot-4 -o jsonpath='{.status.containerStatuses[0].ready}') == true ]]
}

# Claims and releases that meet an API server that goes away.
scenario_apiserver_restart() {
    background churn restart "$dir/restart.count"
    await_more "$dir/restart.count" 2
    "$here/control-plane.sh" restart-apiserver "$dir/control-plane" >&2
    await_more "$dir/restart.count" 3
    end_churn restart
}

# The controller and the agent die, and pods come and go meanwhile.
scenario_berth_killed() {
    background churn berth "$dir/berth.count"
    await_more "$dir/berth.count" 1
    in_node node-1 pkill -KILL -x berth-controlle || true
    in_node node-2 pkill -KILL -x berth-controlle || true
    in_node node-1 pkill -KILL -x berth-node || true
    await_more "$dir/berth.count" 2
    in_node node-2 pkill -KILL -x berth-node || true
    await_more "$dir/berth.count" 2
    end_churn berth
    await 180 'the controller' kubectl --namespace berth-system rollout status --timeout=1s deployment/berth-controller
    await 180 'the agents' kubectl --namespace berth-system rollout status --timeout=1s daemonset/berth-node
}

# A node cannot be reached, and its pods are force-deleted: their sandboxes run on, so nobody else gets the addresses.
scenario_partition() {
    local held
    start_pods part 4
    await_pods part
    held=$(addresses part-2)
    cluster cut node-2
    await 90 'the silence of node-2' node_is_silent node-2
    kubectl delete pod part-2 --force --grace-period=0 --wait=false >/dev/null 2>&1
    await 60 'the fence' is_fenced "$(head -n 1 <<<"$held")"
    [[ $(addresses part-2) == "$held" ]]
    cluster mend node-2
    await 90 'the nodes' nodes_are_ready
    await 120 'the release of part-2' no_holder part-2
    audit
    end_pods part
}

node_is_silent() { [[ $(kubectl get node "$1" -o jsonpath='{.status.conditions[?(@.type=="Ready")].status}') == Unknown ]]; }
is_fenced() { [[ $(kubectl get ipallocation "$1" -o jsonpath='{.spec.state}') == Fenced ]]; }

# The agents are replaced, and with them the plugin, which differs in one byte, under load: forth and back.
scenario_agent_update() {
    local before after
    rm -f "$dir/update.outage"
    "$here/e2e/other-version.sh" "$dir/other.tar"
    cluster import "$dir/other.tar"
    before=$(plugin_hash node-1)
    background churn update "$dir/update.count"
    await_more "$dir/update.count" 1
    background watch_status node-1 "$dir/update.outage"
    set_agent_image berth.dev/berth-node:other
    after=$(plugin_hash node-1)
    [[ $after != "$before" && $(plugin_hash node-2) == "$after" ]]
    await_more "$dir/update.count" 2
    set_agent_image "$(awk '$1 == "image:" && $2 ~ /berth-node/ { gsub("[\"'\'']", "", $2); print $2; exit }' "$dir/berth.yaml")"
    [[ $(plugin_hash node-1) == "$before" && $(plugin_hash node-2) == "$before" ]]
    await_more "$dir/update.count" 2
    note "without ADD for $(longest_outage "$dir/update.outage") s at most"
    end_churn update
}

# watch_status NODE FILE: writes, several times a second, the time and whether an ADD on the node would be served.
watch_status() {
    local status
    while :; do
        if ask_status "$1" >/dev/null 2>&1; then status=up; else status=down; fi
        echo "$EPOCHREALTIME $status" >>"$2"
        sleep 0.1
    done
}

# longest_outage FILE: from the last `up` before it to the first one after it, in seconds.
longest_outage() {
    awk '$2 == "up" { if (down && $1 - last > longest) longest = $1 - last; last = $1; down = 0; next } { down = 1 }
        END { printf "%.1f", longest }' "$1"
}

ask_status() {
    in_node "$1" bash -c 'CNI_COMMAND=STATUS /opt/cni/bin/berth' \
        <<<'{"cniVersion": "1.1.0", "name": "blue", "ipam": {"type": "berth", "pools": ["blue-v4"]}}'
}

plugin_hash() { in_node "$1" sha256sum /opt/cni/bin/berth; }

set_agent_image() {
    kubectl --namespace berth-system set image daemonset/berth-node "node=$1" >/dev/null
    kubectl --namespace berth-system rollout status --timeout=180s daemonset/berth-node >/dev/null
}

# Berth's agents are uninstalled: the token dies with them. Running pods keep their addresses, DEL succeeds and writes
# down what it owes, ADD says to try again. Installed again, everything is made good.
scenario_expired_token() {
    start_pods token 4
    await_pods token
    kubectl --namespace berth-system delete daemonset berth-node >/dev/null
    await 90 'the end of the agents' no_agent
    await 120 'the end of the token' token_is_refused node-1
    kubectl delete pod token-1 token-2 --wait=false >/dev/null
    await 60 'the end of the pods without a server' pods_are_gone token-1 token-2
    pod token-9 node-1 | kubectl create -f - >/dev/null
    await 60 'an ADD that says why' add_is_refused token-9
    apply "$dir/berth.yaml"
    kubectl --namespace berth-system rollout status --timeout=120s daemonset/berth-node >/dev/null
    await_pods token 120
    await 60 'the releases that were owed' no_holder token-1
    await 60 'the releases that were owed' no_holder token-2
    audit
    end_pods token
}

# The API server signs tokens with another key, and accepts those of the old one for as long as they live.
scenario_key_rotation() {
    local pki=$dir/control-plane/pki
    start_pods rotation 2
    await_pods rotation
    openssl genrsa -out "$pki/next.key" 2048 2>/dev/null
    openssl rsa -in "$pki/next.key" -pubout -out "$pki/next.pub" 2>/dev/null
    BERTH_APISERVER_FLAGS="--service-account-key-file=$pki/next.pub --service-account-signing-key-file=$pki/next.key" \
        "$here/control-plane.sh" restart-apiserver "$dir/control-plane" >&2
    await 60 'an ADD with a token of the old key' ask_status node-1
    pod rotation-3 node-1 | kubectl create -f - >/dev/null
    await_pods rotation
    # The next agents get tokens of the new key.
    kubectl --namespace berth-system rollout restart daemonset/berth-node >/dev/null
    kubectl --namespace berth-system rollout status --timeout=120s daemonset/berth-node >/dev/null
    pod rotation-4 node-2 | kubectl create -f - >/dev/null
    await_pods rotation
    audit
    end_pods rotation
    # Back to one key. The agents' tokens are of the one that is gone: their pods get others.
    "$here/control-plane.sh" restart-apiserver "$dir/control-plane" >&2
    kubectl --namespace berth-system rollout restart daemonset/berth-node >/dev/null
    kubectl --namespace berth-system rollout status --timeout=120s daemonset/berth-node >/dev/null
    await 60 'an ADD' ask_status node-1
}

no_agent() { [[ -z $(kubectl --namespace berth-system get pods -l app.kubernetes.io/component=node -o name) ]]; }

token_is_refused() { [[ $(ask_status "$1" 2>/dev/null) == *' 401 '* ]]; }

pods_are_gone() { ! kubectl get pods "$@" 2>/dev/null; }

add_is_refused() { [[ $(kubectl get events --field-selector "involvedObject.name=$1") == *' 401 '* ]]; }
