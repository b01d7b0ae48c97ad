#!/usr/bin/env bash
# Install the services that stream events and do not come as wheels: pushpin by apt or brew, better-sse and the Durable Streams server by npm, into
# ~/.cache/fanbench/hubs. `fanbench compare --endpoint` starts them, and so do the tests of their dialects. Run it again to list what is installed.
#
# What cannot be installed is named, and its tests are skipped: nothing else needs it. No service is left running.
set -uo pipefail
home=${XDG_CACHE_HOME:-$HOME/.cache}/fanbench/hubs
npm_packages=(better-sse@0.16.1 @durable-streams/server@0.3.7)
here=() missing=()

is_here() {  # NAME@VERSION, of npm
  [ "$(sed -n 's/^ *"version": "\(.*\)",*$/\1/p' "$home/node_modules/${1%@*}/package.json" 2>/dev/null | head -1)" = "${1##*@}" ]
}

by_npm() {
  local package
  for package in "${npm_packages[@]}"; do is_here "$package" || return 1; done
}

install_pushpin() {
  if command -v apt-get; then
    local sudo="" policy=/usr/sbin/policy-rc.d own="" code
    if [ "$(id -u)" != 0 ]; then
      sudo -n true || return
      sudo=sudo
    fi
    # Debian's way to install a service without starting it.
    if [ ! -e "$policy" ]; then
      own=yes
      printf '#!/bin/sh\nexit 101\n' | $sudo tee "$policy" && $sudo chmod 755 "$policy"
    fi
    $sudo apt-get -o DPkg::Lock::Timeout=60 update -qq
    $sudo env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=60 install -y -qq --no-install-recommends pushpin
    code=$?
    [ -z "$own" ] || $sudo rm -f "$policy"
    return "$code"
  fi
  command -v brew && brew install --quiet pushpin
}

if command -v pushpin >/dev/null || { echo "hubs: installing pushpin"; install_pushpin >/dev/null 2>&1; }; then
  here+=(pushpin)
else
  missing+=("pushpin (apt install pushpin)")
fi

if ! command -v node >/dev/null || ! command -v npm >/dev/null; then
  missing+=("${npm_packages[@]} (install nodejs and npm first)")
else
  if ! by_npm; then
    echo "hubs: npm install ${npm_packages[*]}"
    mkdir -p "$home"
    # Without running the packages' own scripts, and without writing a lock file.
    npm install --prefix "$home" --no-save --no-package-lock --ignore-scripts --no-audit --no-fund --silent "${npm_packages[@]}" >/dev/null 2>&1
  fi
  for package in "${npm_packages[@]}"; do
    if is_here "$package"; then here+=("$package"); else missing+=("$package (npm install failed)"); fi
  done
fi

[ ${#here[@]} = 0 ] || echo "hubs: here: ${here[*]}"
[ ${#missing[@]} = 0 ] || printf 'hubs: not here: %s\n' "${missing[@]}" >&2
[ ${#missing[@]} = 0 ] || echo "hubs: what is missing is not compared, and its tests are skipped" >&2
