#!/bin/sh
# Make a cluster of the containers valkey-cluster-node-1 to -6: three primaries, which share the slots, and a replica of
# each. Runs once and ends; a node's own address is what the others are told, since a cluster knows no names.
set -eu
: "${PORT:=6379}"

nodes=
for number in 1 2 3 4 5 6; do
  node=
  until [ -n "$node" ] && timeout 2 valkey-cli -h "$node" -p "$PORT" ping 2>/dev/null | grep -q PONG; do
    sleep 0.2
    node=$(timeout 2 getent hosts "valkey-cluster-node-$number." | awk '{ print $1; exit }')
  done
  nodes="$nodes $node:$PORT"
done
if valkey-cli -h "${node}" -p "$PORT" cluster info | grep -q '^cluster_state:ok'; then
  echo "form.sh: the nodes are a cluster already"
  exit 0
fi
# shellcheck disable=SC2086 # one word for each node
exec valkey-cli --cluster create $nodes --cluster-replicas 1 --cluster-yes
