#!/usr/bin/env bash
# Rebuild what follows from results/reference: the page over all parts, the notebooks' outputs, and README's picture.
set -euo pipefail
cd "$(dirname "$0")/.."
.venv/bin/fanbench report results/reference
FANBENCH_RESULTS=results/reference .venv/bin/python scripts/notebooks.py
.venv/bin/python -m scripts.failover_table
# The picture shows one result's report, because the page over all parts begins with a list of answers.
.venv/bin/fanbench report results/reference/broadcast
scripts/picture.sh results/reference/broadcast/report.html docs/images/report.png
rm -rf results/reference/broadcast/{report.html,charts}
