#!/bin/sh
# Run nginx in front of every container that answers to the name $REPLICAS, and follow them as they come and go.
# (nginx resolves the names of an upstream once, at its start; `server … resolve` needs 1.27.3.)
set -eu
ulimit -n "$(ulimit -Hn)"
: "${REPLICAS:=server}" "${PORT:=8000}" "${LISTEN:=80}" "${UI:=/usr/share/fanbench/ui}"
here=$(dirname "$0")
prefix=$(mktemp -d)
mkdir "$prefix/tmp"
chmod 755 "$prefix"
cp "$here/types.conf" "$prefix/"
sed -e "s|@LISTEN@|$LISTEN|" -e "s|@UI@|$UI|" "$here/nginx.conf" >"$prefix/nginx.conf"

replicas() {
  getent ahostsv4 "$REPLICAS." | awk '{ print $1 }' | sort -u |
    awk -v port="$PORT" '{ print "server " $1 ":" port " max_fails=0;" }'
}

# Until the first replica is there, use a port where nobody listens: the answer is a plain 502.
current=$(replicas)
: "${current:=server 127.0.0.1:9;}"
echo "$current" >"$prefix/replicas.conf"
nginx -p "$prefix/" -c "$prefix/nginx.conf" -g 'daemon off;' &
nginx=$!
trap 'ended=yes; kill -TERM $nginx 2>/dev/null' TERM INT
while kill -0 $nginx 2>/dev/null; do
  sleep 1 &
  wait $! || true
  found=$(replicas)
  # Without an answer from the name server nothing changes: nginx itself skips a replica that does not answer.
  if [ -n "$found" ] && [ "$found" != "$current" ]; then
    current=$found
    echo "$current" >"$prefix/replicas.conf"
    echo "start.sh: replicas:" $(echo "$current" | awk '{ print $2 }')
    kill -HUP $nginx
  fi
done
# Unless requested, its end is a failure, after which the restart policy restarts it.
code=0
wait $nginx || code=$?
rm -rf "$prefix"
[ -z "${ended:-}" ] || code=0
exit $code
