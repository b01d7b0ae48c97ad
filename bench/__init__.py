"""The orchestrator and the command line `fanbench`."""
