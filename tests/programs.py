"""`python -m server` and `python -m generator` for the tests, which start dozens: forked after their libraries are imported."""

from core.forked import ForkServer

FORKED = ForkServer("server.__main__", "server.runner", "generator.__main__")
