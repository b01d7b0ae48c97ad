"""The conformance kit for an adapter's own tests; it needs pytest and pytest-asyncio.

`from brokers.sdk.testing import broker, running_programs` in conftest.py gives the fixtures. A subclass of
`Conformance` that names a contender or a URL is the test.
"""

from brokers.conformance import Conformance
from brokers.conformance.fixtures import broker, running_programs
from brokers.conformance.provocations import NOTHING, Provocations, Restricted
from brokers.conformance.workbench import Workbench

__all__ = ["NOTHING", "Conformance", "Provocations", "Restricted", "Workbench", "broker", "running_programs"]
