#!/bin/sh
# A container of a Sentinel set: `start.sh server`, `start.sh sentinel`, and the health check of both, `start.sh healthy`.
# $PRODUCT is valkey or redis, and begins the names of the containers: valkey-sentinel-server-1, valkey-sentinel-sentinel-1.
set -eu
: "${PRODUCT:?valkey or redis}" "${PORT:=6379}" "${SENTINEL_PORT:=26379}"
here=$(dirname "$0")
entrypoint=$(command -v docker-entrypoint.sh || true)   # of the official images: it drops root

address() { timeout 2 getent hosts "$1" | awk '{ print $1; exit }'; }
ask() { timeout 2 "$PRODUCT-cli" --raw "$@" 2>/dev/null || true; }
say() { ask -h "$1" -p "$PORT" info replication | tr -d '\r'; }

# The leader: the one that a Sentinel names, or server 1 at the very first start.
primary() {
  for number in 1 2 3; do
    sentinel=$(address "$PRODUCT-sentinel-sentinel-$number.")
    [ -n "$sentinel" ] || continue
    named=$(ask -h "$sentinel" -p "$SENTINEL_PORT" sentinel get-master-addr-by-name fanbench | head -n 1)
    [ -z "$named" ] || { echo "$named"; return; }
  done
  until address "$PRODUCT-sentinel-server-1." | grep .; do sleep 0.2; done
}

case "$1" in
  server)
    own=$(address "$(hostname)") leader=$(primary)
    # A writable file, because a Sentinel makes each server write its role into it.
    {
      cat "$here/nodes.conf"
      echo "port $PORT"
      echo "dir /data"
      echo "protected-mode no"
      [ "$leader" = "$own" ] || echo "replicaof $leader $PORT"
    } >/data/server.conf
    exec $entrypoint "$PRODUCT-server" /data/server.conf
    ;;
  sentinel)
    leader=$(primary)
    # A Sentinel that finds a primary without replicas looks again only after ten seconds.
    tries=0
    until [ "$(say "$leader" | grep -c 'state=online')" -ge 2 ] || [ $tries -ge 100 ]; do
      tries=$((tries + 1))
      sleep 0.2
    done
    {
      sed "s|@PRIMARY@|$leader $PORT|" "$here/sentinel.conf"
      echo "port $SENTINEL_PORT"
      echo "dir /data"
    } >/data/sentinel.conf
    exec $entrypoint "$PRODUCT-server" /data/sentinel.conf --sentinel
    ;;
  healthy)
    if [ -e /data/sentinel.conf ]; then
      # It knows enough others, and both replicas, so it could promote one of them.
      ask -p "$SENTINEL_PORT" sentinel ckquorum fanbench | grep -q '^OK' &&
        ask -p "$SENTINEL_PORT" sentinel master fanbench | grep -A 1 '^num-slaves$' | grep -q '^2$'
    else
      say 127.0.0.1 | grep -qE '^(role:master|master_link_status:up)$'
    fi
    ;;
  *)
    echo "start.sh $1: write server, sentinel or healthy" >&2
    exit 2
    ;;
esac
