#!/usr/bin/env bash
# Runs etcd and kube-apiserver on loopback, without a cluster and without a container engine.
#
# Usage: hack/control-plane.sh COMMAND DIR
#
#   start              start both in DIR and wait until the API server is ready; a no-op when they run already
#   stop               end both and wait until they have ended; DIR and its data stay, start goes on from there
#   status             say what runs; exits 0 when the API server is ready, 3 otherwise
#   restart-apiserver  end the API server alone and start it again on the same port
#   stop-apiserver     end the API server alone: connections to its port are refused
#   pause, resume      SIGSTOP and SIGCONT of the API server: it accepts connections and never answers
#
# What DIR holds afterwards:
#
#   admin.kubeconfig       for the group system:masters, with everything inlined
#   admin.kubeconfig.json  the same as JSON, which the plugin reads
#   env                    a shell fragment: KUBECONFIG, APISERVER_URL, APISERVER_PID, ETCD_URL, ETCD_PID
#   pki/                   ca.crt, ca.key, apiserver.*, admin.*, service-account.*
#   etcd.log, kube-apiserver.log
#
# Environment:
#
#   KUBEBUILDER_ASSETS     folder that holds kube-apiserver and etcd, in place of Debian's etcd and the
#                          kube-apiserver that hack/kubernetes.sh builds; with kubectl there, that one too
#   BERTH_APISERVER_FLAGS  more flags for kube-apiserver, separated by blanks
#   BERTH_NODE_ADDRESS     the address by which nodes in network namespaces reach the API server: it listens on all
#                          addresses then, has this one in its certificate, and expects a controller manager to make
#                          service accounts (hack/cluster.sh). DIR remembers it.
#
# There are no controllers and no scheduler: nothing makes default service accounts, deletes what a namespace holds
# or collects garbage.

set -euo pipefail
here=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
# shellcheck source=hack/lib.sh
. "$here/lib.sh"

ready_seconds=120

# What runs

# pid_of NAME: the recorded process ID, empty when there is none or it is no longer ours.
pid_of() {
    local pid=
    if [[ -f $dir/$1.pid ]]; then pid=$(<"$dir/$1.pid"); fi
    if process_is "$pid" "=$dir/"; then printf '%s' "$pid"; fi
}

end() {
    local name=$1 pid
    pid=$(pid_of "$name")
    if [[ -n $pid ]]; then
        end_process "$pid" "=$dir/"
        say "$name (process $pid) has ended"
    fi
    rm -f "$dir/$name.pid"
}

# Ends what this run started and did not finish.
abandon() {
    local code=$? pid pids
    trap - EXIT
    pids=$(jobs -p)
    disown -a  # bash would report their end
    for pid in $pids; do end_process "$pid" ''; done
    exit "$code"
}

is_paused() { [[ $(sed 's/.*) //' "/proc/$1/stat") == T* ]]; }

# Ports

# Three ports below those that the kernel gives to outgoing connections.
pick_ports() {
    local taken port ports=()
    taken=$(ss -Htan | awk '{ sub(".*:", "", $4); print $4 }')
    while ((${#ports[@]} < 3)); do
        port=$((20000 + RANDOM % 10000))
        grep -qx "$port" <<<"$taken" || ports+=("$port")
        taken+=$'\n'$port
    done
    printf '%s\n' "${ports[*]}" >"$dir/ports"
}

read_ports() {
    read -r etcd_port peer_port apiserver_port <"$dir/ports"
    etcd_url=http://127.0.0.1:$etcd_port
    apiserver_url=https://127.0.0.1:$apiserver_port
}

ports_are_free() {
    [[ -f $dir/ports ]] || return 1
    read_ports
    ! ss -Htln | awk '{ sub(".*:", "", $4); print $4 }' | grep -qxE "$etcd_port|$peer_port|$apiserver_port"
}

# Certificates and kubeconfigs

# issue NAME SUBJECT EXTENSION...: a key and a certificate signed by the CA.
issue() {
    local name=$1 subject=$2
    shift 2
    openssl ecparam -name prime256v1 -genkey -noout -out "$dir/pki/$name.key"
    openssl req -new -key "$dir/pki/$name.key" -subj "$subject" -out "$dir/pki/$name.csr"
    openssl x509 -req -in "$dir/pki/$name.csr" -CA "$dir/pki/ca.crt" -CAkey "$dir/pki/ca.key" -CAcreateserial \
        -days 3650 -sha256 -extfile <(printf '%s\n' "$@") -out "$dir/pki/$name.crt" 2>/dev/null
    rm "$dir/pki/$name.csr"
}

make_certificates() {
    [[ ! -f $dir/pki/complete ]] || return 0
    rm -rf "$dir/pki"
    mkdir -m 700 "$dir/pki"
    openssl ecparam -name prime256v1 -genkey -noout -out "$dir/pki/ca.key"
    openssl req -x509 -new -key "$dir/pki/ca.key" -subj /CN=berth-test-ca -days 3650 -sha256 -out "$dir/pki/ca.crt"
    issue apiserver /CN=kube-apiserver 'extendedKeyUsage=serverAuth' \
        "subjectAltName=IP:127.0.0.1,IP:::1,DNS:localhost,DNS:kubernetes,DNS:kubernetes.default.svc${node_address:+,IP:$node_address}"
    issue admin /O=system:masters/CN=admin 'extendedKeyUsage=clientAuth'
    # RSA, as clusters have it: every request with a token is verified with this key.
    openssl genpkey -quiet -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out "$dir/pki/service-account.key" 2>/dev/null ||
        openssl genrsa -out "$dir/pki/service-account.key" 2048 2>/dev/null
    openssl rsa -in "$dir/pki/service-account.key" -pubout -out "$dir/pki/service-account.pub" 2>/dev/null
    touch "$dir/pki/complete"
}

write_kubeconfigs() {
    local ca certificate key
    ca=$(base64 -w0 "$dir/pki/ca.crt")
    certificate=$(base64 -w0 "$dir/pki/admin.crt")
    key=$(base64 -w0 "$dir/pki/admin.key")
    install -m 600 /dev/stdin "$dir/admin.kubeconfig" <<YAML
apiVersion: v1
kind: Config
clusters:
- name: berth
  cluster:
    server: $apiserver_url
    certificate-authority-data: $ca
users:
- name: admin
  user:
    client-certificate-data: $certificate
    client-key-data: $key
contexts:
- name: berth
  context:
    cluster: berth
    user: admin
current-context: berth
YAML
    install -m 600 /dev/stdin "$dir/admin.kubeconfig.json" <<JSON
{
  "apiVersion": "v1",
  "kind": "Config",
  "clusters": [{"name": "berth", "cluster": {
    "server": "$apiserver_url",
    "certificate-authority-data": "$ca"
  }}],
  "users": [{"name": "admin", "user": {
    "client-certificate-data": "$certificate",
    "client-key-data": "$key"
  }}],
  "contexts": [{"name": "berth", "context": {"cluster": "berth", "user": "admin"}}],
  "current-context": "berth"
}
JSON
}

write_env() {
    printf 'export %s=%q\n' \
        KUBECONFIG "$dir/admin.kubeconfig" \
        APISERVER_URL "$apiserver_url" APISERVER_PID "$(pid_of kube-apiserver)" \
        ETCD_URL "$etcd_url" ETCD_PID "$(pid_of etcd)" >"$dir/env"
}

# The two programs

find_binaries() {
    if [[ -n ${KUBEBUILDER_ASSETS:-} ]]; then
        etcd=$KUBEBUILDER_ASSETS/etcd
        kube_apiserver=$KUBEBUILDER_ASSETS/kube-apiserver
        [[ -x $etcd && -x $kube_apiserver ]] || die "KUBEBUILDER_ASSETS: no etcd and kube-apiserver in $KUBEBUILDER_ASSETS"
    else
        need etcd
        etcd=$(command -v etcd)
        kube_apiserver=$("$here/kubernetes.sh")/kube-apiserver
    fi
    find_kubectl
}

find_kubectl() {
    kubectl=$(type -P kubectl) || die 'kubectl is not on PATH; hack/setup.sh installs it'
}

# The API server's answer to GET PATH; fails unless it is a 200.
api_get() { "$kubectl" --kubeconfig "$dir/admin.kubeconfig" --request-timeout=5s get --raw "$1" 2>/dev/null; }

is_ready() {
    [[ $(api_get /readyz) == ok ]] && api_get /api/v1/namespaces/default >/dev/null &&
        api_get /api/v1/namespaces/kube-system >/dev/null
}

etcd_is_healthy() {
    local answer
    answer=$(
        exec 2>/dev/null
        exec 3<>"/dev/tcp/127.0.0.1/$etcd_port" || exit
        printf 'GET /health HTTP/1.0\r\n\r\n' >&3
        timeout 5 cat <&3
    ) || return 1
    [[ $answer == *'"health":"true"'* ]]
}

# await NAME CHECK: until CHECK succeeds. Fails when the process ends or the time is up, and shows the log's tail.
await() {
    local name=$1 check=$2 since=$SECONDS
    until "$check"; do
        if ! process_is "$spawned" ''; then
            say "$name has ended; the tail of $dir/$name.log:"
        elif ((SECONDS - since >= ready_seconds)); then
            say "$name is not ready after $ready_seconds seconds; the tail of $dir/$name.log:"
        else
            sleep 0.2
            continue
        fi
        tail -n 25 "$dir/$name.log" >&2
        return 1
    done
}

start_etcd() {
    local flags=(
        --name=berth "--data-dir=$dir/etcd"
        "--listen-client-urls=$etcd_url" "--advertise-client-urls=$etcd_url"
        "--listen-peer-urls=http://127.0.0.1:$peer_port" "--initial-advertise-peer-urls=http://127.0.0.1:$peer_port"
        "--initial-cluster=berth=http://127.0.0.1:$peer_port"
        --quota-backend-bytes=8589934592 --logger=zap --log-level=warn
    )
    # Nothing here must survive a power cut, and etcd syncs its log at every write. Releases from 3.4.16 on have the
    # flag, but the help of 3.4 does not name it.
    if "$etcd" --unsafe-no-fsync --version >/dev/null 2>&1; then flags+=(--unsafe-no-fsync); fi
    : >"$dir/etcd.log"
    spawn "$dir/etcd.log" "$etcd" "${flags[@]}"
    echo "$spawned" >"$dir/etcd.pid"
    await etcd etcd_is_healthy
}

# The flags are those that 1.20 and 1.36 both have. The limits of requests in flight stay at their defaults (400 and
# 200): two cores serve far fewer at once, and more would only lengthen the queue. The endpoint reconciler is off,
# because an Endpoints object may not hold a loopback address. The address to advertise, of which it then makes no use, is
# given because the server looks for the default route otherwise, and ends where there is none.
start_apiserver() {
    local help extra=() flags=(
        "--etcd-servers=$etcd_url"
        "--secure-port=$apiserver_port" --endpoint-reconciler-type=none
        "--advertise-address=${node_address:-127.0.0.1}"
        "--tls-cert-file=$dir/pki/apiserver.crt" "--tls-private-key-file=$dir/pki/apiserver.key"
        "--client-ca-file=$dir/pki/ca.crt"
        --authorization-mode=RBAC
        --service-account-issuer=https://kubernetes.default.svc
        --api-audiences=https://kubernetes.default.svc
        "--service-account-key-file=$dir/pki/service-account.pub"
        "--service-account-signing-key-file=$dir/pki/service-account.key"
        --service-cluster-ip-range=10.96.0.0/16
    )
    if [[ -n $node_address ]]; then
        # Nothing routes the addresses of Services here: a webhook is reached at the address of its pod.
        flags+=(--bind-address=0.0.0.0 --enable-aggregator-routing=true --kubelet-preferred-address-types=InternalIP)
    else
        flags+=(--bind-address=127.0.0.1 --disable-admission-plugins=ServiceAccount)
    fi
    help=$("$kube_apiserver" --help 2>&1)
    if [[ $help == *--allow-privileged* ]]; then flags+=(--allow-privileged=true); fi
    read -ra extra <<<"${BERTH_APISERVER_FLAGS:-}"
    : >"$dir/kube-apiserver.log"
    spawn "$dir/kube-apiserver.log" "$kube_apiserver" "${flags[@]}" "${extra[@]}"
    echo "$spawned" >"$dir/kube-apiserver.pid"
    await kube-apiserver is_ready
}

# Commands

start() {
    local since=$EPOCHREALTIME attempt
    if [[ -n $(pid_of etcd) && -n $(pid_of kube-apiserver) ]]; then
        read_ports
        say "already running in $dir: $apiserver_url"
        return
    fi
    find_binaries
    end kube-apiserver
    make_certificates
    trap abandon EXIT
    for attempt in 1 2 3; do
        if [[ -z $(pid_of etcd) ]] && ! ports_are_free; then pick_ports; fi
        read_ports
        write_kubeconfigs
        if { [[ -n $(pid_of etcd) ]] || start_etcd; } && start_apiserver; then break; fi
        # Another process may have taken a port since it was picked.
        if ((attempt == 3)) || ! grep -q 'address already in use' "$dir/etcd.log" "$dir/kube-apiserver.log"; then
            die "the control plane in $dir did not start"
        fi
        say 'a port was taken meanwhile: trying others'
        stop
        rm "$dir/ports"
    done
    write_env
    trap - EXIT
    say "$("$kube_apiserver" --version) with etcd $("$etcd" --version | sed -n 's/^etcd Version: //p') is ready" \
        "after $(awk "BEGIN { printf \"%.1f\", $EPOCHREALTIME - $since }") seconds"
    say "  $apiserver_url, etcd at $etcd_url"
    say "  kubectl --kubeconfig $dir/admin.kubeconfig get namespaces"
}

stop() {
    end kube-apiserver
    end etcd
    rm -f "$dir/env"
}

status() {
    local name pid
    for name in etcd kube-apiserver; do
        pid=$(pid_of "$name")
        if [[ -z $pid ]]; then
            echo "$name: not running"
        elif is_paused "$pid"; then
            echo "$name: paused (process $pid)"
        else
            echo "$name: running (process $pid)"
        fi
    done
    pid=$(pid_of kube-apiserver)
    [[ -n $pid ]] && ! is_paused "$pid" || return 3
    find_kubectl
    is_ready || return 3
    read_ports
    echo "ready: $apiserver_url"
}

restart_apiserver() {
    [[ -n $(pid_of etcd) ]] || die "no control plane runs in $dir"
    find_binaries
    read_ports
    end kube-apiserver
    trap abandon EXIT
    start_apiserver || die "the API server in $dir did not start"
    write_env
    trap - EXIT
    say "kube-apiserver (process $spawned) is ready"
}

signal_apiserver() {
    local pid
    pid=$(pid_of kube-apiserver)
    [[ -n $pid ]] || die "no API server runs in $dir"
    kill "-$1" "$pid"
    say "kube-apiserver (process $pid): SIG$1"
}

if [[ ${1:-} == --help || ${1:-} == -h ]]; then
    usage
    exit
fi
if (($# != 2)) || [[ -z $2 ]]; then
    usage >&2
    exit 2
fi
command=$1
need openssl ss setsid flock
if [[ $command == start ]]; then (umask 077 && mkdir -p -- "$2"); fi
[[ -d $2 ]] || die "there is no folder $2"
dir=$(cd -- "$2" && pwd -P)
if [[ -n ${BERTH_NODE_ADDRESS:-} ]]; then printf '%s\n' "$BERTH_NODE_ADDRESS" >"$dir/node-address"; fi
node_address=
if [[ -f $dir/node-address ]]; then node_address=$(<"$dir/node-address"); fi
exit_on_signals
if [[ $command != status ]]; then
    exec {lock}>"$dir/lock"
    flock -w 180 "$lock" || die "another run of this script holds $dir/lock"
fi

case $command in
    start) start ;;
    stop) stop ;;
    status) status ;;
    restart-apiserver) restart_apiserver ;;
    stop-apiserver) end kube-apiserver ;;
    pause) signal_apiserver STOP ;;
    resume) signal_apiserver CONT ;;
    *) die "unknown command $command; see --help" ;;
esac
