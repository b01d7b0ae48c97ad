#!/usr/bin/env bash
# Install the lowest version of each direct dependency that pyproject.toml allows, in a virtual environment that is made for it
# and removed, and run the fast tests there; then the adapters' promises, with the installed brokers.
# The tests' own tools are the newest that fit these versions. Options go to pytest: scripts/lowest.sh -x
set -euo pipefail
cd "$(dirname "$0")/.."
uv=$PWD/.venv/bin/uv
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python=$folder/venv/bin/python
lowest=$folder/lowest.txt

"$uv" venv -q --python .venv/bin/python "$folder/venv"
"$uv" pip compile -q --resolution lowest-direct --all-extras --python "$python" --no-header --no-annotate -o "$lowest" pyproject.toml
.venv/bin/python scripts/bounds.py "$lowest"
echo "lowest: installing $(grep -c == "$lowest") packages"
"$uv" pip install -q --compile-bytecode --python "$python" -r "$lowest"
"$uv" pip install -q --compile-bytecode --python "$python" --constraint "$lowest" --group dev --group bench uv
"$uv" pip install -q --python "$python" --no-deps -e .

"$python" -m pytest -n 2 --dist loadfile -m unit --hypothesis-profile quick "$@"

programs=(tests/test_private_attributes.py tests/server/test_program.py tests/server/test_websocket.py tests/load/test_workers.py tests/brokers/test_conformance_nats.py tests/brokers/test_conformance_postgres.py)
while read -r program file; do
  if command -v "$program" >/dev/null; then
    programs+=("$file")
  else
    echo "lowest: $program is not installed: $file is left out (make brokers)" >&2
  fi
done <<END
redis-server tests/brokers/test_conformance_redis.py
mosquitto tests/brokers/test_conformance_mqtt.py
rabbitmq-server tests/brokers/test_rabbitmq.py
END
"$python" -m pytest -n 0 "${programs[@]}" "$@"  # one by one: they distinguish a silent connection from a slow one
