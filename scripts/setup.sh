#!/usr/bin/env bash
# Create the virtual environment in $1 with everything that requirements.lock pins, and fanbench itself.
# Needs Python 3.11 or later; uses an installed uv, or installs uv with pip.
set -euo pipefail
venv=${1:-.venv}
cd "$(dirname "$0")/.."

python=""
for candidate in python3 python3.13 python3.12 python3.11; do
  if command -v "$candidate" >/dev/null && "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    python=$candidate
    break
  fi
done
[ -n "$python" ] || { echo "setup: no Python 3.11 or later on the PATH; install python3 (Debian 12 and later have it)" >&2; exit 1; }

if command -v uv >/dev/null; then
  uv=uv
  [ -x "$venv/bin/python" ] || uv venv -q --python "$python" "$venv"
else
  if [ ! -x "$venv/bin/pip" ] && ! "$python" -m venv "$venv" 2>/dev/null; then
    # Debian's python3 comes without the venv module.
    rm -rf "$venv"
    apt="apt-get"
    [ "$(id -u)" = 0 ] || apt="sudo apt-get"
    command -v apt-get >/dev/null || { echo "setup: '$python -m venv' fails; install Python's venv module" >&2; exit 1; }
    echo "setup: installing python3-venv"
    $apt update -qq && DEBIAN_FRONTEND=noninteractive $apt install -y -qq python3-venv >/dev/null
    "$python" -m venv "$venv"
  fi
  if [ ! -x "$venv/bin/uv" ]; then
    # With the lock's version and hashes, like everything after it.
    awk '/^uv==/ { ours = 1 } ours { print } ours && !/\\$/ { exit }' requirements.lock >"$venv/uv.lock"
    "$venv/bin/python" -m pip install -q --disable-pip-version-check --require-hashes --no-deps -r "$venv/uv.lock"
  fi
  uv=$venv/bin/uv
fi

echo "setup: installing the packages of requirements.lock into $venv"
# Compile now: if PYTHONDONTWRITEBYTECODE is set, each start of each program would compile its imports, for a second.
"$uv" pip install -q --compile-bytecode --require-hashes --python "$venv/bin/python" -r requirements.lock
# With the lock's hatchling: an isolated build environment could have any version.
"$uv" pip install -q --python "$venv/bin/python" --no-deps --no-build-isolation -e .
