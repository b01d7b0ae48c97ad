#!/usr/bin/env bash
# Take README's picture from a report: scripts/picture.sh REPORT.html PICTURE.png [WIDTH HEIGHT]
set -euo pipefail
page=$(realpath "$1") picture=$(realpath -m "$2") width=${3:-1280} height=${4:-1000}
browser=$("$(dirname "$0")/browser.sh" where) ||
  { echo "no Chromium found; install it with: make browser" >&2; exit 2; }
profile=$(mktemp -d)
trap 'rm -rf "$profile"' EXIT
mkdir -p "$(dirname "$picture")"
"$browser" --headless --no-sandbox --disable-gpu --hide-scrollbars --disable-background-networking --disable-sync --no-first-run \
  --user-data-dir="$profile" --window-size="$width,$height" --screenshot="$picture" "file://$page" >/dev/null 2>&1
test -s "$picture" || { echo "no picture of $page was taken" >&2; exit 1; }
