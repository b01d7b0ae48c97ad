"""The command line `fanbench`, one module per command. Nobody imports it except the entry point."""
