"""`python -m server` and `python -m generator` for the tests, which start dozens: forked with their libraries imported."""

from core.forked import ForkServer

FORKED = ForkServer("server.__main__", "server.runner", "generator.__main__")
