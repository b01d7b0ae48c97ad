#!/usr/bin/env bash
# Install the browser for the tests of the web page: Debian's chromium, as root or with sudo. Idempotent.
# `browser.sh where` installs nothing: it prints the browser's path, or fails if there is none.
set -euo pipefail
# The headless shell comes first: it draws the same pages with two thirds of the CPU.
for name in chromium-headless-shell chromium chromium-browser google-chrome google-chrome-stable; do
  if path=$(command -v "$name"); then
    [ "${1:-}" != where ] || echo "$path"
    exit 0
  fi
done
if [ "${1:-}" = where ]; then exit 1; fi
if ! command -v apt-get >/dev/null; then
  echo "browser: no Chromium on the PATH and no apt-get to install it; install Chromium or Chrome for the tests of the page" >&2
  exit 0
fi
apt="apt-get"
if [ "$(id -u)" != 0 ]; then
  sudo -n true 2>/dev/null || { echo "browser: installing chromium needs root; run 'sudo apt-get install chromium'" >&2; exit 0; }
  apt="sudo apt-get"
fi
echo "browser: installing chromium"
# Another apt-get may be running (scripts/brokers.sh): wait for it.
$apt -o DPkg::Lock::Timeout=300 update -qq
install() { DEBIAN_FRONTEND=noninteractive $apt -o DPkg::Lock::Timeout=300 install -y -qq --no-install-recommends "$1" >/dev/null; }
# Releases before 2025 have no separate package for the shell.
install chromium-headless-shell 2>/dev/null || install chromium
