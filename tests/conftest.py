"""For all tests: Ctrl-C means what it means to a person, also where the suite was started in the background."""

import signal

# A shell's `command &` ignores SIGINT, and so would every program that a test starts and interrupts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
