#!/usr/bin/env bash
# What is made of results/reference: the page over all its parts, the notebooks' outputs, and README's picture.
set -euo pipefail
cd "$(dirname "$0")/.."
.venv/bin/fanbench report results/reference
FANBENCH_RESULTS=results/reference .venv/bin/python scripts/notebooks.py
.venv/bin/python -m scripts.failover_table
# The picture is of one result's report: the page over all parts begins with a list of answers.
.venv/bin/fanbench report results/reference/broadcast
scripts/picture.sh results/reference/broadcast/report.html docs/images/report.png
rm -rf results/reference/broadcast/{report.html,charts}
