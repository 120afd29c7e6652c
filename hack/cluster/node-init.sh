#!/usr/bin/env bash
# Process 1 of a node that hack/cluster.sh makes: gives it a file system, a machine ID and a boot ID of its own, then
# reaps what its daemons leave behind, until it is killed, which is the node's power switch.
#
# Usage: hack/cluster/node-init.sh FOLDER NAME ADDRESS   (in new mount, PID, network and UTS namespaces)

set -euo pipefail
folder=$1 name=$2 address=$3

hostname "$name"
# Peers of no mount outside of this node, but shared within it, as container runtimes expect.
mount --make-rprivate /
mount --make-rshared /
mount -t proc proc /proc
mount --bind "$folder/boot-id" /proc/sys/kernel/random/boot_id
mount -t overlay overlay -o "lowerdir=/etc,upperdir=$folder/etc,workdir=$folder/etc.work" /etc
mount --bind "$folder/opt" /opt
mount --bind "$folder/var/lib" /var/lib
mount --bind "$folder/var/log" /var/log
# /var/run leads here. What a node has in it ends with the node.
mount -t tmpfs tmpfs /run

# Its two cables are plugged in from outside: eth0 to the network of the nodes, eth1 to that of the pods.
until [[ -e /sys/class/net/eth1 || -n $(ip link show eth1 2>/dev/null) ]]; do sleep 0.05; done
ip link set lo up
ip addr add "$address" dev eth0
ip link set eth0 up
ip link add berth0 type bridge
ip link set eth1 master berth0
ip link set eth1 up
ip link set berth0 up
# A macvlan interface needs a master that is in no bridge.
until [[ -n $(ip link show eth2 2>/dev/null) ]]; do sleep 0.05; done
ip link set eth2 up
touch "$folder/booted"

while :; do
    sleep infinity &
    # Whatever lost its parent is a child of process 1; bash reaps it when it waits.
    wait -n || true
done
