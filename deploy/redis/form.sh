#!/bin/sh
# Make a cluster of the containers valkey-cluster-node-1 to -6: three primaries, which share the slots, and a copy of each.
# Runs once and ends. If it runs again, it readmits killed nodes, which come back empty.
set -eu
: "${PORT:=6379}"

ask() {
  host=$1
  shift
  timeout 2 valkey-cli -h "$host" -p "$PORT" "$@" 2>/dev/null | tr -d '\r'
}

# Addresses, because a cluster does not resolve names.
nodes=
for number in 1 2 3 4 5 6; do
  node=
  until [ -n "$node" ] && ask "$node" ping | grep -q PONG; do
    sleep 0.2
    node=$(timeout 2 getent hosts "valkey-cluster-node-$number." | awk '{ print $1; exit }')
  done
  nodes="$nodes $node"
done

known=
for node in $nodes; do
  ! ask "$node" cluster info | grep -q '^cluster_state:ok' || known=$node
done
if [ -z "$known" ]; then
  # shellcheck disable=SC2046 # one word for each node
  exec valkey-cli --cluster create $(for node in $nodes; do echo "$node:$PORT"; done) --cluster-replicas 1 --cluster-yes
fi

# A line of CLUSTER NODES: id, address, flags, id of the primary, ping, pong, epoch, link, and the slots of a primary.
for node in $nodes; do
  ask "$node" cluster nodes | awk '$3 == "myself,master" && NF == 8' | grep -q . || continue
  ask "$known" cluster meet "$node" "$PORT"
  bare=$(ask "$known" cluster nodes | awk '
    $3 !~ /fail/ && $3 ~ /master/ && NF > 8 { primary[$1] }
    $3 !~ /fail/ && $3 ~ /slave/ { copied[$4] }
    END { for (id in primary) if (!(id in copied)) print id }' | head -n 1)
  [ -n "$bare" ] || continue
  until ask "$node" cluster nodes | grep -q "^$bare"; do sleep 0.2; done
  ask "$node" cluster replicate "$bare"
  until ask "$known" cluster nodes | grep -F " $node:$PORT@" | grep -q " slave $bare "; do sleep 0.2; done
  echo "form.sh: $node is a copy of $bare"
done
