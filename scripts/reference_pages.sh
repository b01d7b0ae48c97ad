#!/usr/bin/env bash
# Rebuild what follows from results/reference: the page over all parts, the notebooks' outputs, and README's pictures.
set -euo pipefail
cd "$(dirname "$0")/.."
.venv/bin/fanbench report results/reference
FANBENCH_RESULTS=results/reference .venv/bin/python scripts/notebooks.py
.venv/bin/python -m scripts.failover_table
# A picture shows one result's report, because the page over all parts begins with a list of answers.
picture() { # PART PICTURE HEIGHT
  .venv/bin/fanbench report "results/reference/$1"
  scripts/picture.sh "results/reference/$1/report.html" "docs/images/$2" 1280 "$3"
  rm -rf "results/reference/$1"/{report.html,charts}
}
picture broadcast report.png 1000
picture tokens tokens.png 640
