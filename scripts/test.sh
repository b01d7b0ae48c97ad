#!/usr/bin/env bash
# Run every test, five at a time. Up to five failed ones run again, each alone: on a shared machine, a
# deadline may pass while four other processes start brokers. A test that also fails alone fails the run. One
# that passes alone is named at the end: it has a race, or too short a deadline.
set -uo pipefail
cd "$(dirname "$0")/.."
python=$1; shift  # the rest goes to pytest
cache=$(mktemp -d) || exit 1
trap 'rm -rf "$cache"' EXIT
pytest() { "$python" -m pytest -o cache_dir="$cache" "$@"; }

pytest --dist loadfile --no-loadscope-reorder -n 5 "$@"  # tests/durations.py puts the longest files first
code=$?
[ "$code" = 1 ] || exit "$code"  # 1: tests failed; any other code has another cause than load
failed=$("$python" -c 'import json, sys; print(*json.load(open(sys.argv[1])), sep="\n")' "$cache/v/cache/lastfailed") || exit 1
[ "$(wc -l <<<"$failed")" -le 5 ] || exit 1
grep -qv :: <<<"$failed" && exit 1  # a file that cannot be collected, or workers that collect different tests: no test failed
echo "scripts/test.sh: these failed while others ran; each runs again alone:" >&2
echo "$failed" >&2
pytest -n 0 --last-failed --last-failed-no-failures none "$@" || exit 1
echo "scripts/test.sh: passed alone but failed while others ran; fix what makes them flaky:" >&2
echo "$failed" >&2
