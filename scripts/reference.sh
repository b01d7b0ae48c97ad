#!/usr/bin/env bash
# Measure results/reference again, part by part; then the page over all parts, the notebooks and README's picture.
#
#   scripts/reference.sh [PART…]
#
# Without names: broadcast rooms burst transports tokens users faults capacity. About 110 minutes on an undisturbed machine with two cores.
# The part capacity is `fanbench capacity --all`: a search for the floor and for the first contender of each program, of four
# minutes at most each, and each search becomes a directory capacity-CONTENDER. The part capacity-CONTENDER is one of them alone.
# The part failovers, each cluster through each fault of its nodes, takes two more hours and is measured only if it is named.
# A finished part is in results/reference.new and is not measured again: after Ctrl-C, or when a part failed, the same
# command continues. When every requested part is there, they replace results/reference (but not failovers) or, if
# parts were named, only those.
#
# ROUNDS, DURATION (seconds) and MINUTES change it: a part that would not fit into MINUTES does not start.
set -euo pipefail
cd "$(dirname "$0")/.."
fanbench=.venv/bin/fanbench
rounds=${ROUNDS:-5} duration=${DURATION:-2.5} minutes=${MINUTES:-600}
fresh=results/reference.new work=results/reference.part
all=(broadcast rooms burst transports tokens users faults capacity)
trap 'exit 130' INT # fanbench itself ends with 1 on Ctrl-C, like a comparison with a refused contender
trap 'exit 143' TERM

measure() { # PART MINUTES COMMAND…: the maximum duration; what is kept is small enough to be committed
  local part=$1 most=$2 folder code=0
  shift 2
  if [ -d "$fresh/$part" ]; then
    echo "$part: is in $fresh already; remove it there to measure it again"
    return 0
  fi
  if [ $((SECONDS / 60 + most)) -gt "$minutes" ]; then
    echo "$part: not begun, its $most minutes do not fit into MINUTES=$minutes" >&2
    return 1
  fi
  echo "== $part, minute $((SECONDS / 60))"
  rm -rf "$work"
  "$fanbench" "$@" --out "$work" || code=$?
  # 1: a contender was refused. Such a contender is shown as refused and does not end the reference.
  folder=$(find "$work" -mindepth 1 -maxdepth 1 -type d ! -name '*.partial' ! -name '*-incomplete' 2>/dev/null || true)
  if [ "$code" -gt 1 ] || [ ! -d "$folder" ] || [ -n "$(find "$folder" -name '*.partial' -o -name '*-incomplete')" ]; then
    echo "$part: failed with exit code $code; what it left is in $work" >&2
    return 1
  fi
  find "$folder" \( -name logs -o -name charts -o -name report.html \) -prune -exec rm -rf {} +
  mkdir -p "$fresh" && mv "$folder" "$fresh/$part" && rm -rf "$work"
}

place() { # PART: into results/reference; the searches of the part capacity become separate directories
  local search name
  if [ "$1" != capacity ]; then
    rm -rf "results/reference/$1"
    mv "$fresh/$1" results/reference/
    return
  fi
  rm -rf results/reference/capacity-*
  for search in "$fresh"/capacity/*/; do
    name=$(basename "$search")
    name=${name#*-capacity-}
    mv "$search" "results/reference/capacity-${name%-clients}"
  done
  rm -r "$fresh/capacity"
}

begin() { # PART
  local timing=(--warmup 0.5 --duration "$duration")
  case $1 in
    broadcast | rooms | burst) measure "$1" 14 compare --all --scenario "$1" --rounds "$rounds" "${timing[@]}" ;;
    transports) measure "$1" 5 compare valkey nats --transport sse,ws --rounds "$rounds" "${timing[@]}" ;;
    tokens) # the stored streams and the anti-pattern, then each through the death of a replica
      measure "$1" 22 compare valkey-streams redis-streams nats-jetstream postgres-outbox valkey-per-client \
        --scenario tokens --rounds "$rounds" --warmup 10 --duration 12 ;;
    users) # 100,000 connects take most of a run
      measure "$1" 16 compare valkey nats --scenario users --rounds 3 ;;
    faults) # 88 runs: the contenders of two promises, each through every fault
      measure "$1" 21 faults valkey valkey-streams rabbitmq rabbitmq-stream mosquitto-qos1 nats nats-jetstream postgres-outbox \
        --at 1 --for 2 --duration 4.5 ;;
    failovers) # each cluster through each fault of its nodes
      measure "$1" 150 faults --clusters --rounds "$rounds" ;;
    capacity) # seven searches, each within 240 s and the time of its last run
      measure "$1" 30 capacity --all --vary clients --slo "p99<150ms, lost=0" "${timing[@]}" ;;
    capacity-*)
      measure "$1" 5 capacity "${1#capacity-}" --vary clients --slo "p99<150ms, lost=0" "${timing[@]}" ;;
  esac
}

whole=no
[ $# -gt 0 ] || { whole=yes; set -- "${all[@]}"; }
for part in "$@"; do
  [[ " ${all[*]} failovers " == *" $part "* || $part == capacity-?* ]] ||
    { echo "no part '$part'; there are: ${all[*]} failovers capacity-CONTENDER" >&2; exit 2; }
done
failed=()
for part in "$@"; do
  begin "$part" || failed+=("$part")
done
if [ ${#failed[@]} -gt 0 ]; then
  echo "not measured: ${failed[*]}. results/reference is unchanged. Run it again for these alone, or name the parts that are" \
    "in $fresh to replace those alone" >&2
  exit 1
fi
if [ "$whole" = yes ]; then find results/reference -mindepth 1 -maxdepth 1 ! -name 'failovers*' -exec rm -rf {} +; fi
mkdir -p results/reference
for part in "$@"; do
  place "$part"
done
rmdir "$fresh" 2>/dev/null || true # parts that were not asked for stay

echo "== the page, the notebooks, the picture; to repeat this: make reference-pages"
scripts/reference_pages.sh
