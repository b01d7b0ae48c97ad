"""`python -m server` and `python -m generator` for the tests, which start dozens: forked with their libraries imported."""

from pathlib import Path

from core.forked import ForkServer

ROOT = Path(__file__).resolve().parent.parent
FORKED = ForkServer("server.__main__", "server.serving", "generator.__main__", cwd=ROOT)
