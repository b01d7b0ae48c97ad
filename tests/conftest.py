"""For all tests: Ctrl-C means what it means to a person, and no test has a deadline in milliseconds."""

import signal

from hypothesis import settings

# A shell's `command &` ignores SIGINT, and so would every program that a test starts and interrupts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Hypothesis gives each example 200 ms, which is a busy machine's and not a defect's.
settings.register_profile("no deadline", settings.default, deadline=None)
settings.load_profile("no deadline")
