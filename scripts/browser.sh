#!/usr/bin/env bash
# Install the browser that the tests of the web page drive: Debian's chromium, as root or by sudo. Idempotent.
set -euo pipefail
for name in chromium chromium-browser google-chrome google-chrome-stable; do
  if command -v "$name" >/dev/null; then exit 0; fi
done
if ! command -v apt-get >/dev/null; then
  echo "browser: no Chromium on the PATH and no apt-get to bring it; install Chromium or Chrome for the tests of the page" >&2
  exit 0
fi
apt="apt-get"
if [ "$(id -u)" != 0 ]; then
  sudo -n true 2>/dev/null || { echo "browser: installing chromium needs root; run 'sudo apt-get install chromium'" >&2; exit 0; }
  apt="sudo apt-get"
fi
echo "browser: installing chromium"
# Another apt-get may be at work (scripts/brokers.sh): wait for it.
$apt -o DPkg::Lock::Timeout=300 update -qq
DEBIAN_FRONTEND=noninteractive $apt -o DPkg::Lock::Timeout=300 install -y -qq --no-install-recommends chromium >/dev/null
