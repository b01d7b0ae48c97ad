#!/usr/bin/env bash
# What is made of results/reference: the page over all its parts, the notebooks' outputs, and README's picture.
set -euo pipefail
cd "$(dirname "$0")/.."
.venv/bin/fanbench report results/reference
.venv/bin/python scripts/notebooks.py
scripts/picture.sh results/reference/report.html docs/images/report.png
