"""The command line `fanbench`, one module a command. Nobody imports it but the entry point."""
