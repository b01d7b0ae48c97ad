#!/usr/bin/env bash
# Measure results/reference anew: every contender that runs here, three scenarios, capacity and faults, then the
# notebooks and README's picture. Takes over an hour on an undisturbed machine; ROUNDS and DURATION shorten it.
set -euo pipefail
cd "$(dirname "$0")/.."
fanbench=.venv/bin/fanbench
rounds=${ROUNDS:-5} duration=${DURATION:-8}
fresh=results/reference.new
rm -rf "$fresh" && mkdir -p "$fresh"

# A contender that was refused is shown as refused: it does not end the reference.
run() { "$fanbench" "$@" --out "$fresh" || [ $? -eq 1 ]; }

run compare --all --scenario broadcast --rounds "$rounds" --duration "$duration"
run compare --scenario rooms --rounds "$rounds" --duration "$duration"
run compare --scenario burst --rounds "$rounds" --duration "$duration"
run capacity valkey --slo "p99<150ms, lost=0" --vary clients
run faults valkey valkey-streams rabbitmq rabbitmq-stream mosquitto-qos1 nats nats-jetstream

find "$fresh" -name logs -type d -prune -exec rm -rf {} +
rm -rf results/reference
mv "$fresh" results/reference

.venv/bin/python scripts/notebooks.py
scripts/picture.sh results/reference/*-broadcast/report.html docs/images/report.png
